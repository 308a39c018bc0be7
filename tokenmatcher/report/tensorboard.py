"""A run's curves and examples for TensorBoard, in `tensorboard/` of its folder.

Steps count the run's epochs, those of all stages, so that a run that goes on continues its curves: what was written of
epochs that are done again is purged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import EpochRecord, Modality
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.listeners import Listener

FOLDER = "tensorboard"
EVERY = 5  # epochs between examples
RIGHT, WRONG, ANCHOR = (0, 160, 60), (210, 30, 30), (128, 128, 128)  # frames
FRAME, MOST_HEIGHT = 4, 96  # pixels
GIBIBYTE = 2**30


class TensorBoard(Listener):
    """Losses, clusters, matches, neighbours, scores, rates and times of every epoch; pictures of every fifth.

    Args:
        images: the training images, to show examples of.
    """

    def __init__(self, images: Mapping[Modality, ImageSet]) -> None:
        self.images = images

    def on_begin(self, folder: Path, records: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.epochs = records
        self.writer = SummaryWriter(folder / FOLDER, purge_step=records)

    def on_epoch(self, record: EpochRecord) -> None:
        for name, value in curves(record):
            self.writer.add_scalar(name, value, self.epochs)
        if record.epoch % EVERY == 0:
            for topic, groups in record.examples.items():
                if groups:
                    self.writer.add_image(topic, self._sheet(groups), self.epochs)
        self.epochs += 1
        self.writer.flush()

    def on_end(self) -> None:
        self.writer.close()

    def _sheet(self, groups: list[list[tuple[Modality, int]]]) -> Tensor:
        """(3, H, W) uint8: a row for each group, its first picture in grey, the others green where they show the same
        person and red where another; grey where nobody knows."""
        rows = [torch.cat([self._framed(group[0], one) for one in group], dim=2) for group in groups]
        widest = max(row.shape[2] for row in rows)
        return torch.cat([torch.nn.functional.pad(row, (0, widest - row.shape[2])) for row in rows], dim=1)

    def _framed(self, first: tuple[Modality, int], one: tuple[Modality, int]) -> Tensor:
        modality, index = one
        known = [int(self.images[m].identities[place]) for m, place in (first, one)]
        colour = ANCHOR if one == first or min(known) < 0 else RIGHT if known[0] == known[1] else WRONG
        picture = self.images[modality].store.batch(np.array([index]), torch.device("cpu"))[0]
        step = -(-picture.shape[1] // MOST_HEIGHT)
        small = picture[:, ::step, ::step]
        framed = torch.tensor(colour, dtype=torch.uint8)[:, None, None].repeat(
            1, small.shape[1] + 2 * FRAME, small.shape[2] + 2 * FRAME
        )
        framed[:, FRAME:-FRAME, FRAME:-FRAME] = small
        return framed


def curves(record: EpochRecord) -> Iterator[tuple[str, float]]:
    """Name and value of everything that is a number. What a camera's stage has stands under its own name."""
    camera = record.place.get("camera")
    place = "" if camera is None else f"cam{camera} "
    known: dict[str, Any] = {
        f"{place}labels": record.labels,
        f"{place}losses": record.losses or {},
        f"{place}scores": record.scores,
        f"{place}training": {
            "learning rate": record.lr,
            "gradient norm": record.gradient,
            "images per second": record.images_per_second,
            "GPU memory, GiB": None if record.gpu_memory is None else record.gpu_memory / GIBIBYTE,
        },
        f"{place}seconds": record.seconds,
        **{
            f"{place}{topic}": value if isinstance(value, dict) else {"": value}
            for topic, value in record.facts.items()
        },
    }
    yield from _numbers(known, "")


def _numbers(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        path = f"{before}/{name}".strip("/")
        if isinstance(value, Mapping):
            yield from _numbers(value, path)
        elif isinstance(value, int | float) and math.isfinite(value):
            yield path, float(value)
