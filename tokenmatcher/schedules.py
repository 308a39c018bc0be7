"""Learning rates over the epochs of a stage."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tokenmatcher.recipe import ScheduleConfig


def cosine(epoch: int, epochs: int, highest: float, lowest: float) -> float:
    """Learning rate of `epoch`, counted from 0, on half a cosine over `epochs` (Loshchilov & Hutter, ICLR 2017)."""
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def stepped(epoch: int, highest: float, steps: Sequence[int]) -> float:
    """Learning rate of `epoch`: a tenth of what it was, from each of the epochs `steps` on."""
    return highest * 0.1 ** sum(epoch >= step for step in steps)


def rate_of(schedule: ScheduleConfig, stage: int, epoch: int, *, before: int = 0) -> float:
    """Learning rate of an epoch of stage 0 or 1, counted from 0.

    Args:
        before: epochs of earlier stages that `decay_epochs` counts, too.
    """
    if schedule.decay == "steps":
        return stepped(before + epoch, schedule.lr[stage], schedule.decay_epochs)
    return cosine(epoch, schedule.epochs[stage], schedule.lr[stage], schedule.lr_min[stage])
