"""Where a computation runs, how, and with which random numbers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.distributed import ALONE, Team
from tokenmatcher.errors import SettingError

DEVICES = ("auto", "cuda", "cpu")
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """What extraction, training and tests need to know of it; by default one process on the CPU, in silence.

    Attributes:
        precision: of the network's products: "fp32" as they are; "bf16", "fp16" matrix products and convolutions in
            halves. Losses, memories and weights are float32.
        team: the processes that share the work.
        progress: show bars.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "fp32"
    team: Team = ALONE
    progress: bool = False

    def autocast(self) -> torch.autocast:
        """The network's arithmetic."""
        return torch.autocast(self.device.type, HALVES.get(self.precision), enabled=self.precision in HALVES)

    def peak_memory(self) -> int | None:
        """The most bytes of the GPU that tensors have taken since the last call; None on the CPU."""
        if self.device.type != "cuda":
            return None
        most = torch.cuda.max_memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return most

    @classmethod
    def chosen(
        cls, device: str = "auto", precision: str = "auto", *, team: Team = ALONE, progress: bool = False
    ) -> Machine:
        """`device` "auto" takes the GPU where there is one; `precision` "auto" is bf16 there, where it is several times
        faster, and fp32 on the CPU, where it is not.

        Raises:
            SettingError: as `choose_device`.
        """
        where = choose_device(device, team.local_rank)
        if precision == "auto":
            precision = "bf16" if where.type == "cuda" else "fp32"
        return cls(where, precision, team, progress and team.leads)


def choose_device(name: str, number: int = 0) -> torch.device:
    """The device of a name, "auto", "cuda" or "cpu"; `number` says which of several GPUs.

    Raises:
        SettingError: another name, or "cuda" where there is none.
    """
    if name not in DEVICES:
        raise SettingError("{device} {name}: must be " + ", ".join(DEVICES), name=repr(name))
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingError("{device} cuda: no CUDA device is visible to PyTorch")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", number)


def to_device(values: Tensor | np.ndarray, device: torch.device) -> Tensor:
    """`values` on `device`; a GPU gets them from pinned memory, so that neither side waits for the copy."""
    found = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if device.type != "cuda" or found.is_cuda:
        return found.to(device)
    return found.pin_memory().to(device, non_blocking=True)


def make_deterministic() -> None:
    """The same bits every time on a GPU, too, at some cost in speed; an operation that cannot is an error.

    To be called before anything runs on the GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS's condition for it
    torch.use_deterministic_algorithms(True)


class Randomness:
    """Every random number of a run comes from here, and all of it can be saved.

    order: draws batches; pixels: draws augmentation and stochastic depth. A fresh network's weights come from
    PyTorch's own generators, which are seeded and saved as well.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.order = np.random.default_rng(seed)
        self.pixels = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)

    def state(self) -> dict[str, Any]:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {
            "order": json.dumps(self.order.bit_generator.state),
            "pixels": self.pixels.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": cuda,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.order.bit_generator.state = json.loads(state["order"])
        self.pixels.set_state(state["pixels"])
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
