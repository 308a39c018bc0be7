"""Saves within an epoch, so that an interruption costs minutes and not an epoch.

An epoch's labels, neighbours and matches follow from the weights it starts with, which `last.pt` holds. They are
found again; `midway.pt` adds what the steps have changed since: weights, optimiser, memories, generators, losses.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokenmatcher.contracts import EpochRecord, Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.files import replacing
from tokenmatcher.methods.base import Objective, Stage
from tokenmatcher.training import checkpoint
from tokenmatcher.training.checkpoint import RunFolder, matcher_of
from tokenmatcher.training.restored import check_tensor, check_tensors
from tokenmatcher.training.setup import Setup
from tokenmatcher.training.step import Losses, NotFinite, restore_optimizer

MIDWAY = "midway.pt"
BLAMED = "not_finite.txt"  # the images of a step that ended a run
AGREE_EVERY = 10  # steps between which several processes agree on whether to save; each time they wait for each other


class Midway:
    """Saves within one epoch, and what the last of them held."""

    def __init__(
        self,
        trainer: Setup,
        stage: Stage,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        plans: dict[Modality, np.ndarray],
        record: EpochRecord,
    ) -> None:
        self.trainer, self.objective, self.optimizer = trainer, objective, optimizer
        self.path = self.path_in(trainer.folder, stage)
        self.title = title_of(stage, record.epoch)
        self.place = {**stage.place, "epoch": record.epoch, "plan": _digest(plans)}
        self.steps = stage.batching.iters
        self.since = time.monotonic()

    @staticmethod
    def path_in(folder: RunFolder, stage: Stage) -> Path:
        """Where a stage's saves within an epoch lie."""
        return folder.of(stage.name) / MIDWAY

    def take_up(self) -> Losses:
        """Go to where an interruption left this epoch; returns the losses of the steps that are done."""
        if not self.path.is_file():
            return Losses()
        try:
            return self._taken_up(checkpoint.read(self.path))
        except UserError as error:
            self.trainer.say(f"warning: {error}; the epoch starts again")
            return Losses()

    def _taken_up(self, content: dict[str, Any]) -> Losses:
        """Check everything, then change everything.

        Raises:
            UserError: it is no save of this epoch; nothing is changed.
        """
        trainer, state = self.trainer, content["run"]
        try:
            if (
                type(trainer.method.recipe).from_dict(content["recipe"]) != trainer.method.recipe
                or state["place"] != self.place
                or matcher_of(content) not in ("", trainer.folder.matcher or "none")
            ):
                raise UserError(f"{self.path}: of other flags or other labels")
            memories = [memory.vectors for memory in self.objective.all_memories()]
            check_tensors(content["model"], trainer.network.state_dict(), "model")
            for number, (vectors, saved) in enumerate(zip(memories, state["memories"], strict=True)):
                check_tensor(saved, vectors, f"memory {number}")
            losses = Losses.restored(state["losses"], self.steps - 1, trainer.machine.device)
            before = trainer.random.state()
            try:
                trainer.random.restore(state["random"])
                restore_optimizer(self.optimizer, state["optimizer"], trainer.method.recipe.schedule.optimizer)
            except BaseException:
                trainer.random.restore(before)
                raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
            raise UserError(f"{self.path}: not a save within an epoch ({error!r})") from None
        trainer.network.load_state_dict(content["model"])
        for vectors, saved in zip(memories, state["memories"], strict=True):
            vectors.copy_(saved)
        return losses

    def after_step(self, step: int, losses: Losses) -> None:
        """Save when it is time, and stop when a signal came; the last step is followed by the epoch's own save."""
        trainer, (save, stop) = self.trainer, self._due(step)
        if step + 1 == self.steps:
            return
        if save:
            losses.check()
            state = {
                "place": self.place,
                "optimizer": self.optimizer.state_dict(),
                "memories": [memory.vectors for memory in self.objective.all_memories()],
                "losses": losses.state(),
            }
            trainer.folder.save(
                self.path, trainer.network, f"{self.title}, after step {step + 1}", run={**state, **trainer.drawn()}
            )
        if stop:
            self.trainer.signals.interrupt()

    def _due(self, step: int) -> tuple[bool, bool]:
        """Whether to save, and whether to stop then; all processes say the same."""
        team, minutes = self.trainer.machine.team, self.trainer.save_minutes
        if team.size > 1 and (step + 1) % AGREE_EVERY:
            return False, False
        stop = self.trainer.signals.received is not None
        save = stop or (minutes is not None and time.monotonic() - self.since >= 60 * minutes)
        save, stop = (any(wish) for wish in zip(*team.all_gather_object((save, stop)), strict=True))
        if save:
            self.since = time.monotonic()
        return save, stop


def _digest(plans: dict[Modality, np.ndarray]) -> str:
    """Of an epoch's batches, which follow from its labels and its random numbers."""
    digest = hashlib.sha256()
    for modality, rows in plans.items():
        digest.update(modality.value.encode() + np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    return digest.hexdigest()


def title_of(stage: Stage, epoch: int | None = None) -> str:
    """A stage or one of its epochs, in words."""
    words = [f"{name} {value}" for name, value in stage.place.items()]
    return " ".join(words[:1] + ([] if epoch is None else [f"epoch {epoch}"]) + words[1:])


def not_finite(
    trainer: Setup, stage: Stage, title: str, error: NotFinite, plans: dict[Modality, np.ndarray]
) -> SettingError:
    """What to say of it: one image that the step was made of; all of them are listed in a file."""
    images = [trainer.images[m].paths[row] for m, rows in plans.items() for row in dict.fromkeys(rows[error.step])]
    path = trainer.folder.path / BLAMED
    if trainer.machine.team.leads:
        with replacing(path) as file:
            file.write("".join(f"{str(image)!r}\n" for image in images).encode("utf-8", "backslashreplace"))
    return SettingError(
        f"{title}: {error}, made of {{image}} and {len(images) - 1} other images, listed in {{path}}; nothing was "
        f"saved since. A lower {{{stage.rate_setting}}} usually helps; {{resume}} auto goes on from the last epoch if "
        "there is one",
        image=repr(str(images[0])),
        path=path,
    )
