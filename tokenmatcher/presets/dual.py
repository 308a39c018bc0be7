"""What ADCA's and PGM's numbers and presets have in common: network, losses, batches, schedule; and the demo's, for
rendered people.

Sources: [C] the published code, [D] decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from tokenmatcher.methods.numbers import MatchingConfig
from tokenmatcher.presets.tokenmatcher import DEMO as TOKENMATCHERS_DEMO
from tokenmatcher.recipe import Recipe, number


@dataclass(frozen=True, kw_only=True)
class DualLossConfig:
    """losses and memories"""

    temperature: float = number(0.05, "softmax temperature of every contrastive term [C]")
    momentum: float = number(0.1, "cluster memory, share kept at an update [C]")
    memory_update: tuple[str, str] = number(
        ("each", "each"),
        "what a batch writes into a memory, in stage 1 and 2: each sample in turn, or hard: once a cluster, its least "
        "similar sample [C]",
        choices=("each", "hard"),
    )


@dataclass(frozen=True, kw_only=True)
class DualRecipe(Recipe):
    """What those of ADCA and PGM have in common."""

    SOURCE: ClassVar[str] = "[C]"

    losses: DualLossConfig = field(default_factory=DualLossConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)

    def rules(self) -> list[tuple[bool, str]]:
        return [
            *super().rules(),
            (self.losses.temperature > 0, "{temperature} must be positive"),
            (0 <= self.losses.momentum < 1, "{momentum} must lie in [0, 1)"),
        ]


PAPER: dict[str, Any] = {
    "network": "resnet",
    "height": 288,
    "width": 144,
    "unit_views": True,
    "batch_size": 256,
    "optimizer": "adam",
    "lr": (3.5e-4, 3.5e-4),
    "decay": "steps",
    "decay_epochs": (20, 40),
}
PAPER_REGDB: dict[str, Any] = {**PAPER, "eps": 0.3, "iters": (100, 100)}

# The network, start, batches, clustering, steps and momentum of TokenMatcher's demo;
# features and losses are the methods' own.
DEMO: dict[str, Any] = {**TOKENMATCHERS_DEMO, "unit_views": True}
