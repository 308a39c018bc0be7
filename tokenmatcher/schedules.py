"""Learning rates over the epochs of a stage."""

from __future__ import annotations

import math


def cosine(epoch: int, epochs: int, highest: float, lowest: float) -> float:
    """Learning rate of `epoch`, counted from 0, on half a cosine over `epochs` (Loshchilov & Hutter, ICLR 2017)."""
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * epoch / epochs)) / 2
