"""The weights that stages start from: an earlier stage's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenmatcher.errors import UserError
from tokenmatcher.methods.base import Stage
from tokenmatcher.training import checkpoint
from tokenmatcher.training.checkpoint import LAST, RunFolder

Weights = dict[str, Tensor]


class StartWeights:
    """Reads them from the earlier stage's checkpoint, or from one of a stage that carries them along."""

    def __init__(self, folder: RunFolder, stages: Sequence[Stage]) -> None:
        self.folder = folder
        self.carriers = [stage.name for stage in stages if not stage.keeps_weights]
        self._kept: dict[str, Weights] = {}

    def keep(self, stage: str, weights: Weights) -> None:
        """What a checkpoint of a stage said that the stage started from."""
        self._kept[stage] = weights

    def of(self, stage: Stage) -> Weights:
        """What `stage` starts from.

        Raises:
            UserError: the earlier stage has not been run.
        """
        if stage.name in self._kept:
            return self._kept[stage.name]
        assert stage.start is not None
        found = self._read(*stage.start)
        if not stage.keeps_weights:  # its other parts start from the same
            self._kept[stage.name] = found
        return found

    def _read(self, earlier: str, which: str) -> Weights:
        wanted = self.folder.of(earlier) / f"{which}.pt"
        paths = [wanted, *(self.folder.of(name) / LAST for name in self.carriers)]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise UserError(f"{wanted}: no such file; later stages start from the weights of stage {earlier}")
        content = checkpoint.read(path, for_training=False)
        return content.get("run", {}).get("start", content["model"])  # a carrier's own are of what it trained last


def same_weights(one: Weights, other: Weights | None) -> bool:
    """Bit by bit."""
    if other is None:
        return False
    return one is other or all(torch.equal(one[name], other[name]) for name in one)
