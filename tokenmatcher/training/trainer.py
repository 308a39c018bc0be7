"""The training loop, the same for every method, stage and data set.

Epochs are counted from 0. What a checkpoint's `run` part holds, see `tokenmatcher.training.resuming`.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from tokenmatcher.blame import returned
from tokenmatcher.contracts import EpochRecord, Modality
from tokenmatcher.images.augment import Augmenter
from tokenmatcher.images.batches import make_batches, plan_batches
from tokenmatcher.images.sets import listing_of
from tokenmatcher.methods.base import Prepared, Stage
from tokenmatcher.models.embedder import Embedder, extract
from tokenmatcher.models.norms import same_statistics, spread_groups
from tokenmatcher.training.checkpoint import BEST, LAST
from tokenmatcher.training.midway import Midway, not_finite, title_of
from tokenmatcher.training.pace import Pace
from tokenmatcher.training.setup import Setup
from tokenmatcher.training.start import StartWeights, Weights, same_weights
from tokenmatcher.training.step import (
    GRADIENT,
    NotFinite,
    make_optimizer,
    restore_optimizer,
    set_learning_rate,
    train_step,
)

CHECK_EVERY = 10  # steps between looks at the loss, each of which waits for the device


@dataclass
class Position:
    """Where a run stands: before an epoch of a stage.

    stage: its place among all stages of the method.
    optimizer: what the stage's optimiser has gathered; None before the first epoch of a stage that starts a new one.
    best: the best score of the stage so far.
    """

    stage: int = 0
    epoch: int = 0
    optimizer: dict[str, Any] | None = None
    best: float = -1.0


@dataclass(eq=False)
class Trainer(Setup):
    """One run, stage by stage.

    Attributes:
        position: where it stands.
        records: epochs that the listeners have been told of.
    """

    def __post_init__(self) -> None:
        recipe, team = self.method.recipe, self.machine.team
        spread_groups(self.network, recipe.model.bn_groups, team)
        self.trained = team.trained(self.network)
        if self.compiled:
            self.trained.compile()
        size = (recipe.model.height, recipe.model.width)
        self.augmenter = Augmenter(recipe.data, size, self.random.pixels)
        self.listing = listing_of(self.images)
        self.stages = self.method.stages()
        self.position, self.records = Position(), 0
        self.start = StartWeights(self.folder, self.stages)
        self._at_start: dict[Modality, Tensor] = {}  # features by the weights that stages start from,
        self._at_start_of: Weights | None = None  # which are these

    def train(self, names: Collection[str]) -> None:
        """Do the stages of these names in order, from where the run stands."""
        self.pace = Pace(self.stages, names, self.images)
        for number in range(self.position.stage, len(self.stages)):
            if self.stages[number].name in names:
                if number != self.position.stage:
                    kept = self.position.optimizer if self.stages[number].keeps_optimizer else None
                    self.position = Position(number, optimizer=kept)
                self._stage(self.stages[number])
        for listener in self.listeners:
            listener.on_end()

    def _stage(self, stage: Stage) -> None:
        if stage.start and self.position.epoch == 0:
            self._begin_with(self.start.of(stage))
        optimizer = make_optimizer(self.network, self.method.recipe.schedule)
        if self.position.optimizer is not None:
            restore_optimizer(optimizer, self.position.optimizer, self.method.recipe.schedule.optimizer)
        for epoch in range(self.position.epoch, stage.epochs):
            record = EpochRecord(stage.place, epoch, stage.epochs)
            features = self._features(stage, epoch)
            record.lap("extract")
            prepared = returned(stage.prepare, stage.prepare(epoch, features, record), Prepared, or_none=True)
            if prepared is None:
                self._tell(record)
                break
            self._epoch(stage, prepared, optimizer, record)
            record.lap("train")
            if stage.tested_by and self.evaluate and self._test_is_due(epoch, stage.epochs):
                record.scores = self.evaluate(self.network)
                record.lap("test")
            self._tell(record)
            self._save(stage, optimizer, record)
        if not stage.keeps_weights:
            self._begin_with(self.start.of(stage))
            self._close(stage)

    def _features(self, stage: Stage, epoch: int) -> dict[Modality, Tensor]:
        """(N, T*D) of the stage's images. What the weights that stages start from say is asked once for all of them."""
        found = {}
        for m, index in stage.images.items():
            embedder, store = Embedder(self.network, m), self.images[m].clustered
            if stage.start is None or epoch > 0:
                found[m] = extract(embedder, store, self.machine, index=index)
                continue
            if m not in self._at_start:
                self._at_start[m] = extract(embedder, store, self.machine)
            found[m] = self._at_start[m] if index is None else self._at_start[m][torch.from_numpy(index)]
        if stage.keeps_weights:
            self._at_start.clear()
            self._at_start_of = None
        return found

    def _epoch(self, stage: Stage, prepared: Prepared, optimizer: torch.optim.Optimizer, record: EpochRecord) -> None:
        """Train on batches drawn from the labels, from where an interruption left the epoch.

        Raises:
            SettingError: a loss or gradient is not finite; names it, the step and its images.
            Interruption: a signal asked to stop; what was done is saved.
        """
        plans = plan_batches(prepared.labels, self.images, stage.batching, self.random.order)
        midway = Midway(self, stage, prepared.objective, optimizer, plans, record)
        losses = midway.take_up()
        done, steps = len(losses.steps), stage.batching.iters
        record.lr = stage.rate(record.epoch)
        set_learning_rate(optimizer, record.lr)
        batches = make_batches(
            self.images,
            {m: rows[done:] for m, rows in plans.items()},
            self.augmenter,
            stage.batching,
            self.machine,
            depth_branches=len(self.network.depth_modules),
        )
        self.trained.train()
        seen, since = 0, time.perf_counter()
        bar = tqdm(total=steps, initial=done, desc=midway.title, disable=not self.machine.progress, leave=False)
        try:
            with self.signals.deferred(), bar:
                for step, batch in enumerate(batches, start=done):
                    terms = train_step(self.trained, prepared.objective, batch, optimizer, self.machine)
                    losses.steps.append(terms)
                    seen += sum(len(index) for index in batch.index.values())
                    bar.update()
                    if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
                        bar.set_postfix_str(f"loss {losses.check():.3f}", refresh=False)
                    for listener in self.listeners:
                        listener.on_step(record, step, terms)
                    midway.after_step(step, losses)
                same_statistics(self.trained, self.machine.team)
                record.losses = losses.means()
        except NotFinite as error:
            raise not_finite(self, stage, midway.title, error, plans) from None
        record.gradient = record.losses.pop(GRADIENT)
        record.images_per_second = seen / (time.perf_counter() - since)
        record.gpu_memory = self.machine.peak_memory()

    def _test_is_due(self, epoch: int, epochs: int) -> bool:
        schedule = self.method.recipe.schedule
        due = epoch >= schedule.eval_start and (epoch - schedule.eval_start) % schedule.eval_every == 0
        return due or epoch + 1 == epochs

    def _tell(self, record: EpochRecord) -> None:
        record.left = self.pace.left(self.position.stage, record.epoch)
        for listener in self.listeners:
            listener.on_epoch(record)
        self.records += 1

    def _save(self, stage: Stage, optimizer: torch.optim.Optimizer, record: EpochRecord) -> None:
        """Of an epoch that is done."""
        folder, title = self.folder.of(stage.name), title_of(stage, record.epoch)
        if record.scores and stage.tested_by:
            headline = next(iter(record.scores.values()))[stage.tested_by]
            if headline > self.position.best:
                self.position.best = headline
                note = f"{title}, best on the test set so far"
                self.folder.save(folder / BEST, self.network, note, scores=record.scores)
        self.position.epoch, self.position.optimizer = record.epoch + 1, optimizer.state_dict()
        state = self.state(stage)
        self.folder.save(folder / LAST, self.network, f"{title}, the last", scores=record.scores or None, run=state)
        self._whole(stage)

    def _close(self, stage: Stage) -> None:
        """Of a stage that is done and whose weights are not used."""
        self.position = Position(self.position.stage + 1)
        path = self.folder.of(stage.name) / LAST
        self.folder.save(path, self.network, f"{title_of(stage)} is done", run=self.state(stage))
        self._whole(stage)

    def _whole(self, stage: Stage) -> None:
        """What was saved within an epoch is not needed any more.

        Raises:
            Interruption: a signal came during its last step.
        """
        if self.machine.team.leads:
            Midway.path_in(self.folder, stage).unlink(missing_ok=True)
        if self.signals.received is not None:
            self.signals.interrupt()

    def state(self, stage: Stage) -> dict[str, Any]:
        """What a checkpoint needs for the run to go on from it."""
        first = next(number for number, other in enumerate(self.stages) if other.name == stage.name)
        return {
            "stage": stage.name,
            "part": self.position.stage - first,
            "epoch": self.position.epoch,
            "optimizer": self.position.optimizer,
            "best": self.position.best,
            "method": self.method.state(),
            "records": self.records,
            **self.drawn(),
            "images": {m.value: len(images) for m, images in self.images.items()},
            "listing": self.listing,
            **({} if stage.keeps_weights else {"start": self.start.of(stage)}),
        }

    def _begin_with(self, weights: Weights) -> None:
        """Put the weights that stages start from into the network; features of others are forgotten."""
        if not same_weights(weights, self._at_start_of):
            self._at_start.clear()
        self._at_start_of = weights
        self.network.load_state_dict(weights)

    def finished(self, names: Collection[str]) -> bool:
        """Whether nothing is left of the stages of these names."""
        left = [n for n in range(self.position.stage, len(self.stages)) if self.stages[n].name in names]
        done = left == [self.position.stage] and self.position.epoch >= self.stages[left[0]].epochs
        return not left or done
