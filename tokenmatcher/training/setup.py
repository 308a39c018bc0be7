"""What a run works with, put together before its first epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenmatcher.listeners import Listener
from tokenmatcher.machine import Machine, Randomness
from tokenmatcher.methods.base import Images, Method
from tokenmatcher.models.base import Network
from tokenmatcher.training.checkpoint import RunFolder
from tokenmatcher.training.interruption import Signals

Evaluate = Callable[[Network], dict[str, dict[str, Any]]]


@dataclass(eq=False)
class Setup:
    """What a run works with.

    Attributes:
        images: the training images of each modality.
        random: every random number of the run.
        evaluate: the test; None where there is no test data.
        say: for what is not an epoch's record.
        save_minutes: between saves within an epoch; None: there are none but when a signal comes.
        compiled: let PyTorch compile the network's training pass.
    """

    method: Method
    images: Images
    network: Network
    machine: Machine
    random: Randomness
    folder: RunFolder
    evaluate: Evaluate | None = None
    listeners: Sequence[Listener] = ()
    say: Callable[[str], None] = print
    signals: Signals = field(default_factory=Signals)
    save_minutes: float | None = None
    compiled: bool = False

    def drawn(self) -> dict[str, Any]:
        """Where the random numbers stand."""
        return {"random": self.random.state(), "seed": self.random.seed}
