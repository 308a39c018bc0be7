"""Which checkpoint a run goes on from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenmatcher.errors import UserError
from tokenmatcher.recipe import STAGES
from tokenmatcher.runtime import before
from tokenmatcher.training import checkpoint
from tokenmatcher.training.epoch import BLAMED, MIDWAY
from tokenmatcher.training.run import BEST, LAST, stage_folder


def checkpoint_to_resume(asked: str | None, folder: Path, stages: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The checkpoint to continue, None for a fresh run, and warnings.

    `auto` takes the newest that is whole: a stage's last.pt, then the ones kept from before, then the stage
    before. Without `auto`, later stages take up what earlier ones left.

    Args:
        asked: `auto`, a file, or None.
        folder: of the run.
        stages: to be done, in order.

    Raises:
        UserError: a fresh run would overwrite another's checkpoints, or checkpoints are there and all damaged.
    """
    of_stage = {stage: _kept(stage_folder(folder, stage) / LAST) for stage in STAGES}
    elsewhere = asked not in (None, "auto") and not Path(str(asked)).resolve().is_relative_to(folder.resolve())
    if asked is None or elsewhere:
        begun = [stage_folder(folder, stage) / MIDWAY for stage in stages]
        if taken := [path for stage in stages for path in of_stage[stage]] + [path for path in begun if path.is_file()]:
            raise UserError(f"{taken[0]} is there already: continue with --resume auto, or choose another --logs-dir")
    if asked is not None and asked != "auto":
        checkpoint.read(Path(asked))
        return Path(asked), []
    if asked is None:
        of_stage = {stage: of_stage[stage] for stage in STAGES[: STAGES.index(stages[0])]}
    warnings: list[str] = []
    for stage in reversed(of_stage):
        for path in of_stage[stage]:
            try:
                checkpoint.read(path)
            except UserError as error:
                warnings.append(f"warning: {error}; the one before it is taken")
                continue
            return path, warnings
    if warnings:
        raise UserError(f"{folder}: every checkpoint is damaged; the first: {warnings[0]}")
    return None, []


def clear_leftovers(folder: Path) -> None:
    """Remove what a run that was killed while it wrote a file of `folder` left of it. Nobody else may write there."""
    for place in (folder, *(stage_folder(folder, stage) for stage in STAGES)):
        for name in (LAST, BEST, MIDWAY, "config.json", BLAMED):
            for left in place.glob(f"{name}.*.tmp"):
                left.unlink(missing_ok=True)
    (folder / BLAMED).unlink(missing_ok=True)  # of a failure that is about to be mended


def _kept(path: Path) -> list[Path]:
    """`path` and the files of before that lie beside it, the newest first."""
    found = [path] if path.is_file() else []
    age = 1
    while (older := before(path, age)).is_file():
        found.append(older)
        age += 1
    return found
