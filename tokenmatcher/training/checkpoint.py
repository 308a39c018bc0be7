"""Checkpoints: one file holds all that is needed to test and to go on.

Layout: {"format": "tokenmatcher", "version": 2, "method", "matcher", "dataset", "trial", "recipe", "model", "note",
"scores", "run", "digest"}; `run` is absent in files that only serve for testing, `matcher` in those of before.
Everything is a tensor, a number, a string, or a container of these, so that PyTorch's safe loader reads it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokenmatcher.distributed import ALONE, Team
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.files import replacing
from tokenmatcher.models.digest import DIGEST, check_digest, digest_of
from tokenmatcher.models.files import load_file
from tokenmatcher.models.weights import FORMAT, VERSION
from tokenmatcher.recipe import Recipe

LAST, BEST = "last.pt", "best.pt"


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its checkpoints, and what stands in all of them.

    keep: former last.pt that are kept beside the newest, see `files.before`.
    matcher: its name or file; None: the method takes none.
    """

    path: Path
    method: str
    dataset: str
    trial: int | None
    recipe: Recipe
    keep: int = 1
    team: Team = ALONE
    matcher: str | None = None

    def of(self, stage: str) -> Path:
        """Where a stage keeps its own."""
        return stage_folder(self.path, stage)

    def save(
        self,
        path: Path,
        model: torch.nn.Module,
        note: str,
        *,
        scores: dict[str, Any] | None = None,
        run: dict[str, Any] | None = None,
    ) -> None:
        """Write a checkpoint; it is whole or not there. The team's first process does it.

        Args:
            note: what this is, in words a person reads ("stage 2, epoch 50, last").
            run: what training needs to go on.

        Raises:
            UserError: it cannot be written.
        """
        self.team.decide(lambda: self._save(path, model, note, scores, run))

    def _save(
        self, path: Path, model: torch.nn.Module, note: str, scores: dict[str, Any] | None, run: dict[str, Any] | None
    ) -> None:
        content = {
            "format": FORMAT,
            "version": VERSION,
            "method": self.method,
            "matcher": self.matcher,
            "dataset": self.dataset,
            "trial": self.trial,
            "recipe": self.recipe.to_dict(),
            "model": model.state_dict(),
            "note": note,
            "scores": scores,
            **({} if run is None else {"run": run}),
        }
        content[DIGEST] = digest_of(content)
        try:
            with replacing(path, keep=self.keep if path.name == LAST else 0) as file:
                torch.save(content, file)
        except (OSError, RuntimeError) as error:
            # PyTorch's writer, closed after a failed write, puts an error of its own before the system's.
            cause = error if isinstance(error, OSError) else error.__context__
            if not isinstance(cause, OSError):
                raise
            raise UserError(f"{path}: cannot be written ({cause}); a file that was there is untouched") from None


def stage_folder(folder: Path, stage: str) -> Path:
    """Where a stage of the run in `folder` keeps its checkpoints: stages that are numbers lie in `stage1`, ..."""
    return folder / (f"stage{stage}" if stage.isdigit() else stage)


def read(path: Path, *, for_training: bool = True) -> dict[str, Any]:
    """A checkpoint of our own; `for_training` demands its `run` part.

    Raises:
        UserError: no such file, not a checkpoint of ours, or one that only serves for testing.
    """
    content = load_file(path)
    if content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint that training can be continued from")
    if content.get("version") != VERSION:
        raise UserError(f"{path}: checkpoint version {content.get('version')}, this program reads {VERSION}")
    check_digest(content, str(path))
    if for_training and "run" not in content:
        raise UserError(f"{path}: serves for testing only; continue from a last.pt")
    return content


def demand_method(path: Path, content: dict[str, Any], method: str) -> None:
    """It must be this method's; the first checkpoints do not say, and there was one.

    Raises:
        SettingError: it is another's.
    """
    if (own := str(content.get("method", "tokenmatcher"))) != method:
        raise SettingError("{path}: was trained by {method} {own}", path=path, own=own)


def matcher_of(content: dict[str, Any]) -> str:
    """The matcher of a checkpoint in words; empty where it does not say.

    Raises:
        TypeError: it says so in another way than it is written.
    """
    asked = content.get("matcher", "")
    if not isinstance(asked, str | None):
        raise TypeError("matcher")
    return "none" if asked is None else asked


def as_before(path: Path, recipe: Recipe, method: str, given: Collection[str]) -> tuple[Recipe, list[str]]:
    """`recipe` for a run that goes on from `path`: numbers that came in after the first checkpoints were written stay
    what they were in that file, or meant when it was written, unless they were `given`. With notes on those that
    this changes.

    Raises:
        UserError: no configuration in the file, or another method's.
    """
    content = load_file(path, mapped=True)
    demand_method(path, content, method)
    try:
        saved = type(recipe).from_dict(content["recipe"])
    except (LookupError, UserError) as error:
        raise UserError(f"{path}: {error}") from None
    kept = recipe.override({name: value for name, value in saved.latecomers().items() if name not in given})
    return kept, [f"note: as in that checkpoint: {change}" for change in kept.differences(recipe)]
