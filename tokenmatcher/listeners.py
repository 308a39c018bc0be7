"""The door for listeners: who is told what a run does, while it does it. Console, log.jsonl are two of them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tokenmatcher.contracts import EpochRecord


class Listener:
    """Of several processes only the first one's are told. Every part may be left out."""

    def on_begin(self, folder: Path, records: int) -> None:
        """The run in `folder` is about to begin, or to go on with that many epochs of all stages behind it; whatever
        was told after these is forgotten: it is about to be done again."""

    def on_step(self, record: EpochRecord, step: int, terms: dict[str, Tensor]) -> None:
        """A step is done: its number in its epoch, from 0, and its loss terms, still on the device (reading them waits
        for it)."""

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch is done."""

    def on_end(self) -> None:
        """The run is done."""
