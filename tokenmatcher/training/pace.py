"""How long the rest of a run takes, going by what is done of it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from tokenmatcher.methods.base import Images, Stage


def work_of(stage: Stage, images: Images) -> int:
    """Passes of the network in an epoch: three for each image of each step (forward, backward twice as dear), two for
    each image that is looked at before them (itself and its mirror image)."""
    batch = sum(stage.batching.images(m) for m in stage.batching.identities)
    looked_at = sum(len(images[m]) if index is None else len(index) for m, index in stage.images.items())
    return 3 * stage.batching.iters * batch + 2 * looked_at


class Pace:
    """Counts the work of a run's epochs; tests and clustering are taken to be in proportion to it."""

    def __init__(self, stages: Sequence[Stage], names: Collection[str], images: Images) -> None:
        self.work: Mapping[int, int] = {
            number: work_of(stage, images) for number, stage in enumerate(stages) if stage.name in names
        }
        self.epochs = [stage.epochs for stage in stages]
        self.done, self.since = 0, time.monotonic()

    def left(self, number: int, epoch: int) -> float:
        """Seconds, where an epoch of a stage, both counted from 0, has just been done."""
        self.done += self.work[number]
        rest = self.work[number] * (self.epochs[number] - epoch - 1)
        rest += sum(work * self.epochs[later] for later, work in self.work.items() if later > number)
        return rest * (time.monotonic() - self.since) / self.done
