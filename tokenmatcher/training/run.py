"""One run: what it works on, what it has made so far, and the steps that all stages share.

Epochs are counted from 0. A checkpoint's `run` part says where to go on: `stage`, `epoch` (the next one),
`optimizer`, `random`, `best`, `local_labels`, `log_position`, and within the camera stage `camera`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.data.augment import Augmenter
from tokenmatcher.data.images import ImageSet
from tokenmatcher.distributed import ALONE, Team
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.diagnostics import clustering_agreement
from tokenmatcher.model.backbone import TokenViT
from tokenmatcher.model.features import extract
from tokenmatcher.model.norms import spread_groups
from tokenmatcher.model.weights import TRAINING_ONLY
from tokenmatcher.recipe import Recipe
from tokenmatcher.report.log import RunLog
from tokenmatcher.runtime import Randomness
from tokenmatcher.training import checkpoint
from tokenmatcher.training.engine import make_optimizer, restore_optimizer
from tokenmatcher.training.interruption import Signals
from tokenmatcher.training.restored import check_optimizer, check_run, check_tensors

ScoresByProtocol = dict[str, dict[str, Any]]
LAST, BEST = "last.pt", "best.pt"


@dataclass
class Clock:
    """Seconds of each phase of an epoch."""

    seconds: dict[str, float] = field(default_factory=dict)
    since: float = field(default_factory=time.perf_counter)

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] = round(now - self.since, 3)
        self.since = now


def stage_folder(folder: Path, stage: str) -> Path:
    """Where a stage of the run in `folder` keeps its checkpoints."""
    return folder / (stage if stage == "camera" else f"stage{stage}")


@dataclass(eq=False)
class Run:
    """What the stages work on.

    Attributes:
        sets: the training images of each modality.
        evaluate: the test; None where there is no test data.
        local_labels: the camera stage's product, (N,) of each modality, -1 where there is none.
        resumed: the `run` part of the checkpoint that is being continued, until a stage has taken it up.
        start: the checkpoint with stage 1's weights, where it does not lie in this run's own folder.
        start_features: what `at_start` has extracted so far.
        team: the processes that share the work.
        precision: of the backbone, see `runtime.autocast`; losses, memories and weights are float32.
        compiled: let PyTorch compile the backbone's training pass.
        signals: what the process was asked to do.
        save_minutes: between saves within an epoch, see `training.epoch`.
        keep: former last.pt that are kept beside the newest.
    """

    recipe: Recipe
    dataset: str
    trial: int | None
    sets: dict[Modality, ImageSet]
    model: TokenViT
    device: torch.device
    random: Randomness
    folder: Path
    log: RunLog
    evaluate: Callable[[TokenViT], ScoresByProtocol] | None
    progress: bool = True
    local_labels: dict[Modality, np.ndarray] | None = None
    resumed: dict[str, Any] | None = None
    start: Path | None = None
    start_features: dict[Modality, Tensor] = field(default_factory=dict)
    team: Team = ALONE
    precision: str = "fp32"
    compiled: bool = False
    signals: Signals = field(default_factory=Signals)
    save_minutes: float | None = None
    keep: int = 1

    def __post_init__(self) -> None:
        spread_groups(self.model, self.recipe.model.bn_groups, self.team)
        self.trained = self.team.trained(self.model)
        if self.compiled:
            self.trained.compile()
        size = (self.recipe.model.height, self.recipe.model.width)
        self.augmenter = Augmenter(self.recipe.data, size, self.random.pixels)

    def folder_of(self, stage: str) -> Path:
        return stage_folder(self.folder, stage)

    def resume(self, path: Path) -> list[str]:
        """Take up the state of a checkpoint of this run's network and images; returns what is to be said about it.

        Raises:
            UserError: the file is no such checkpoint.
        """
        content = checkpoint.read(path)
        try:
            return self._resume(path, content)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
            raise UserError(f"{path}: not a checkpoint that training can be continued from ({error!r})") from None

    def _resume(self, path: Path, content: dict[str, Any]) -> list[str]:
        run, saved = content["run"], Recipe.from_dict(content["recipe"])
        changeable = {name: getattr(self.recipe.model, name) for name in TRAINING_ONLY}
        if "stage" not in run:
            raise UserError(f"{path}: a save within an epoch, which --resume auto takes up by itself")
        if saved.override(changeable).model != self.recipe.model:
            raise UserError(f"{path}: its network differs from the one asked for; give the flags it was trained with")
        if (content["dataset"], content["trial"]) != (self.dataset, self.trial):
            raise UserError(f"{path}: was trained on {content['dataset']}, trial {content['trial']}")
        if run["images"] != {m.value: len(images) for m, images in self.sets.items()}:
            raise UserError(f"{path}: was trained on other images: {run['images']}")
        check_run(run, {m: len(images) for m, images in self.sets.items()})
        for name, weights in (("model", content["model"]), *((("start", run["start"]),) if "start" in run else ())):
            check_tensors(weights, self.model.state_dict(), name)
        if run["optimizer"] is not None or run["stage"] != "camera":  # between cameras there is none
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            check_optimizer(run["optimizer"], trained, self.recipe.schedule.optimizer)
        self.model.load_state_dict(content["model"])
        self.random.restore(run["random"])
        if run["local_labels"] is not None:
            self.local_labels = {m: run["local_labels"][m.value].numpy() for m in Modality}
        self.resumed = run
        if path.resolve().is_relative_to(self.folder.resolve()):
            self.log.cut(run["log_position"])
        else:
            self.log.cut(0)
            if run["stage"] in ("1", "camera"):
                self.start = path
        said = [f"note: since that checkpoint changed: {change}" for change in self.recipe.differences(saved)]
        if run["seed"] != self.random.seed:
            said.append(f"note: goes on with the random numbers of --seed {run['seed']}")
        return said

    def finished(self, stages: Sequence[str]) -> bool:
        """Whether the resumed checkpoint is the end of the last of `stages`."""
        run = self.resumed
        if run is None or run["stage"] != stages[-1] or run["stage"] == "camera":
            return False
        return bool(run["epoch"] >= self.recipe.schedule.epochs[int(run["stage"]) - 1])

    def take_up(self, stage: str) -> dict[str, Any] | None:
        """The resumed state if it belongs to `stage`, once."""
        run, self.resumed = self.resumed, None
        return run if run is not None and run["stage"] == stage else None

    def stage_one_weights(self) -> dict[str, Tensor]:
        """What the camera stage and stage 2 start from.

        Raises:
            UserError: stage 1 has not been run.
        """
        path = self.start or self.folder_of("1") / f"{self.recipe.schedule.stage2_start}.pt"
        if not path.is_file() and (carried := self.folder_of("camera") / LAST).is_file():
            path = carried
        if not path.is_file():
            raise UserError(f"{path}: no such file; the camera stage and stage 2 start from stage 1's weights")
        content = checkpoint.read(path, for_training=False)
        return content.get("run", {}).get("start", content["model"])  # the camera stage's own are of its last camera

    def begin_with(self, weights: dict[str, Tensor]) -> None:
        """Put stage 1's weights into the model; what `at_start` has kept of others (the camera stage may have gone on
        from a checkpoint of another --stage2-start) is forgotten."""
        own = self.model.state_dict()
        if not all(torch.equal(own[name].cpu(), value) for name, value in weights.items()):
            self.start_features.clear()
        self.model.load_state_dict(weights)

    def optimizer(self, state: dict[str, Any] | None = None) -> torch.optim.Optimizer:
        """A fresh optimiser, or one as it was saved."""
        optimizer = make_optimizer(self.model, self.recipe.schedule)
        if state is not None:
            restore_optimizer(optimizer, state, self.recipe.schedule.optimizer)
        return optimizer

    def extract(self, modality: Modality, index: np.ndarray | None = None) -> Tensor:
        """(N, T*D) features of the training images, or of `index` among them."""
        return extract(
            self.model,
            self.sets[modality].clustered,
            modality,
            device=self.device,
            index=index,
            progress=self.progress,
            team=self.team,
            precision=self.precision,
        )

    def at_start(self, modality: Modality) -> Tensor:
        """(N, T*D) features of the training images by stage 1's weights, which the model must have now: extracted
        once for all cameras' first epochs and stage 2's. `start_features.clear()` gives the memory back."""
        if modality not in self.start_features:
            self.start_features[modality] = self.extract(modality)
        return self.start_features[modality]

    def describe(
        self, labels: PseudoLabels, modality: Modality, index: np.ndarray | slice = slice(None)
    ) -> dict[str, Any]:
        """Clusters, outliers, and agreement with the true identities, for the log."""
        agreement = clustering_agreement(labels, self.sets[modality].identities[index])
        return {"clusters": labels.num_clusters, "outliers": labels.num_outliers, **agreement}

    def save(
        self,
        path: Path,
        note: str,
        *,
        scores: ScoresByProtocol | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Write a checkpoint; with `state` one that training can go on from. The team's first process does it."""
        self.team.decide(lambda: self._save(path, note, scores, state))

    def _save(self, path: Path, note: str, scores: ScoresByProtocol | None, state: dict[str, Any] | None) -> None:
        if state is not None:
            local = self.local_labels
            state = {
                "random": self.random.state(),
                "seed": self.random.seed,
                "images": {m.value: len(images) for m, images in self.sets.items()},
                "local_labels": None if local is None else {m.value: torch.from_numpy(local[m]) for m in local},
                "log_position": self.log.position(),
                **state,
            }
        checkpoint.save(
            path,
            dataset=self.dataset,
            trial=self.trial,
            recipe=self.recipe,
            model=self.model,
            note=note,
            scores=scores,
            run=state,
            keep=self.keep if path.name == LAST else 0,
        )
