"""Saves within an epoch, so that an interruption costs minutes and not an epoch.

An epoch's labels, neighbours and matches follow from the weights it starts with, which `last.pt` holds. They are
found again; `midway.pt` adds what the steps have changed since: weights, optimiser, memories, generators, losses.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import Modality
from tokenmatcher.distributed import Team
from tokenmatcher.errors import UserError
from tokenmatcher.training import checkpoint
from tokenmatcher.training.interruption import Signals

AGREE_EVERY = 10  # steps between which several processes agree on whether to save; each time they wait for each other

Losses = dict[str, list[Tensor]]


def plan_digest(plans: dict[Modality, np.ndarray]) -> str:
    """Of an epoch's batches, which follow from its labels and its random numbers."""
    digest = hashlib.sha256()
    for modality, rows in plans.items():
        digest.update(modality.value.encode() + np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    return digest.hexdigest()


@dataclass
class Midway:
    """When to save within an epoch.

    Attributes:
        minutes: between saves; 0: after every step; None: only when a signal asks.
    """

    minutes: float | None
    signals: Signals
    team: Team
    since: float = field(default_factory=time.monotonic)

    def due(self, step: int) -> tuple[bool, bool]:
        """After `step` of an epoch: whether to save, and whether to stop then. All processes say the same."""
        if self.team.size > 1 and (step + 1) % AGREE_EVERY:
            return False, False
        stop = self.signals.received is not None
        save = stop or (self.minutes is not None and time.monotonic() - self.since >= 60 * self.minutes)
        save, stop = (any(wish) for wish in zip(*self.team.join_objects((save, stop)), strict=True))
        if save:
            self.since = time.monotonic()
        return save, stop


def read(path: Path, place: dict[str, Any], recipe: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The checkpoint if it was made at this place of this run, else None and, if that needs saying, why."""
    if not path.is_file():
        return None, ""
    try:
        content = checkpoint.read(path)
    except UserError as error:
        return None, f"warning: {error}; the epoch starts again"
    if content["run"].get("place") != place or content["recipe"] != recipe:
        return None, ""
    return content, ""


def pack(losses: Losses) -> dict[str, Tensor]:
    return {name: torch.stack(values) for name, values in losses.items()}


def unpack(losses: dict[str, Tensor], device: torch.device) -> Losses:
    return {name: list(values.to(device).unbind()) for name, values in losses.items()}
