"""One epoch of training, and saves within it, so that an interruption costs minutes and not an epoch.

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

from tokenmatcher.contracts import Modality
from tokenmatcher.data.batches import make_batches
from tokenmatcher.errors import UserError
from tokenmatcher.recipe import Recipe
from tokenmatcher.runtime import replacing
from tokenmatcher.training import checkpoint
from tokenmatcher.training.engine import (
    EpochResult,
    Losses,
    NotFinite,
    restore_optimizer,
    set_learning_rate,
    train_epoch,
)
from tokenmatcher.training.objectives import Objective
from tokenmatcher.training.restored import check_tensor, check_tensors
from tokenmatcher.training.run import Run

MIDWAY = "midway.pt"
BLAMED = "not_finite.txt"  # the images of a step that ended a run
AGREE_EVERY = 10  # steps between which several processes agree on whether to save; each time they wait for each other


class _Saves:
    """Saves within one epoch, and what the last of them held."""

    def __init__(
        self,
        run: Run,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        plans: dict[Modality, np.ndarray],
        place: dict[str, Any],
    ) -> None:
        self.run, self.objective, self.optimizer = run, objective, optimizer
        self.path = run.folder_of(place["stage"]) / MIDWAY
        self.title = " ".join(f"{name} {value}" for name, value in place.items())
        self.place = {**place, "plan": _digest(plans)}
        self.steps = len(next(iter(plans.values())))
        self.since = time.monotonic()

    def take_up(self) -> Losses:
        """Go to where an interruption left this epoch; returns the losses of the steps that are done."""
        if not self.path.is_file():
            return Losses()
        try:
            return self._taken_up(checkpoint.read(self.path))
        except UserError as error:
            self.run.log.say(f"warning: {error}; the epoch starts again")
            return Losses()

    def _taken_up(self, content: dict[str, Any]) -> Losses:
        """Check everything, then change everything.

        Raises:
            UserError: it is no save of this epoch; nothing is changed.
        """
        run, state = self.run, content["run"]
        try:
            if Recipe.from_dict(content["recipe"]) != run.recipe or state["place"] != self.place:
                raise UserError(f"{self.path}: of other flags or other labels")
            memories = [memory.vectors for memory in self.objective.all_memories()]
            check_tensors(content["model"], run.model.state_dict(), "model")
            for number, (vectors, saved) in enumerate(zip(memories, state["memories"], strict=True)):
                check_tensor(saved, vectors, f"memory {number}")
            losses = Losses.restored(state["losses"], self.steps - 1, run.device)
            before = run.random.state()
            try:
                run.random.restore(state["random"])
                restore_optimizer(self.optimizer, state["optimizer"], run.recipe.schedule.optimizer)
            except BaseException:
                run.random.restore(before)
                raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
            raise UserError(f"{self.path}: not a save within an epoch ({error!r})") from None
        run.model.load_state_dict(content["model"])
        for vectors, saved in zip(memories, state["memories"], strict=True):
            vectors.copy_(saved)
        return losses

    def after_step(self, step: int, losses: Losses) -> None:
        """Save when it is time, and stop when a signal came; the last step is followed by the epoch's own save."""
        save, stop = self._due(step)
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
            self.run.save(self.path, f"{self.title}, after step {step + 1}", state=state)
        if stop:
            self.run.signals.interrupt()

    def _due(self, step: int) -> tuple[bool, bool]:
        """Whether to save, and whether to stop then; all processes say the same."""
        team, minutes = self.run.team, self.run.save_minutes
        if team.size > 1 and (step + 1) % AGREE_EVERY:
            return False, False
        stop = self.run.signals.received is not None
        save = stop or (minutes is not None and time.monotonic() - self.since >= 60 * minutes)
        save, stop = (any(wish) for wish in zip(*team.join_objects((save, stop)), strict=True))
        if save:
            self.since = time.monotonic()
        return save, stop


def _digest(plans: dict[Modality, np.ndarray]) -> str:
    """Of an epoch's batches, which follow from its labels and its random numbers."""
    digest = hashlib.sha256()
    for modality, rows in plans.items():
        digest.update(modality.value.encode() + np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    return digest.hexdigest()


def train_planned(
    run: Run,
    objective: Objective,
    plans: dict[Modality, np.ndarray],
    optimizer: torch.optim.Optimizer,
    rate: float,
    *,
    place: dict[str, Any],
    twins: bool,
    jitter_plain: bool,
) -> EpochResult:
    """One epoch over the planned batches at learning rate `rate`, from where an interruption left it.

    Args:
        place: `stage`, `epoch` and, in the camera stage, `camera`.
        twins, jitter_plain: see `make_batches`.

    Raises:
        UserError: a loss or gradient is not finite; names it, the step and its images.
        Interruption: a signal asked to stop; what was done is saved.
    """
    saves = _Saves(run, objective, optimizer, plans, place)
    losses = saves.take_up()
    done = len(losses.steps)
    set_learning_rate(optimizer, rate)
    batches = make_batches(
        run.sets,
        {modality: rows[done:] for modality, rows in plans.items()},
        run.augmenter,
        run.device,
        twins=twins,
        jitter_plain=jitter_plain,
        depth_branches=len(run.model.depth_modules),
        team=run.team,
    )
    try:
        with run.signals.deferred():
            return train_epoch(
                run.trained,
                objective,
                batches,
                optimizer,
                steps=saves.steps,
                title=saves.title,
                progress=run.progress,
                team=run.team,
                precision=run.precision,
                losses=losses,
                after_step=saves.after_step,
            )
    except NotFinite as error:
        flag = "--camera-lr" if place["stage"] == "camera" else "--lr"
        images = [run.sets[m].paths[row] for m, rows in plans.items() for row in dict.fromkeys(rows[error.step])]
        raise UserError(f"{saves.title}: {error}, {_blame(run, images, flag)}") from None


def _blame(run: Run, images: list[Path], flag: str) -> str:
    """Which images a step was made of: one for the message, all in a file."""
    path = run.folder / BLAMED
    if run.team.leads:
        with replacing(path) as file:
            file.write("".join(f"{str(image)!r}\n" for image in images).encode("utf-8", "backslashreplace"))
    return (
        f"made of {str(images[0])!r} and {len(images) - 1} other images, listed in {path}; "
        f"nothing was saved since. A lower {flag} usually helps; --resume auto goes on from the last epoch, if any"
    )


def close_epoch(run: Run, folder: Path) -> None:
    """An epoch is saved as a whole in `folder`: what was saved within it is not needed any more.

    Raises:
        Interruption: a signal came during its last step.
    """
    if run.team.leads:
        (folder / MIDWAY).unlink(missing_ok=True)
    if run.signals.received is not None:
        run.signals.interrupt()
