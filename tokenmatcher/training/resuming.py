"""Which checkpoint a run goes on from, and how it takes it up.

A checkpoint's `run` part: `stage` and `part` (which of the stages of that name), `epoch` (the next one), `optimizer`,
`best`, `method` (its own state), `records` (epochs told of), `random`, `seed`, `images` (counts), `listing` (see
`images.sets.listing_of`; absent in files of before), and where the weights are not the stage's product `start`, those
that it started from.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.files import before, replacing
from tokenmatcher.models.weights import TRAINING_ONLY
from tokenmatcher.training import checkpoint
from tokenmatcher.training.checkpoint import BEST, LAST, stage_folder
from tokenmatcher.training.midway import BLAMED, MIDWAY
from tokenmatcher.training.restored import check_optimizer, check_run, check_tensors
from tokenmatcher.training.trainer import Position, Trainer


def checkpoint_to_resume(
    asked: str | None, folder: Path, names: Sequence[str], wanted: Sequence[str]
) -> tuple[Path | None, list[str]]:
    """The checkpoint to continue, None for a fresh run, and warnings.

    `auto` takes the newest that is whole: a stage's last.pt, then the ones kept from before, then the stage
    before. Without `auto`, later stages take up what earlier ones left.

    Args:
        asked: `auto`, a file, or None.
        folder: of the run.
        names: of all stages, in order.
        wanted: those to be done.

    Raises:
        UserError: a fresh run would overwrite another's checkpoints, or checkpoints are there and all damaged.
    """
    of_stage = {name: _kept(stage_folder(folder, name) / LAST) for name in names}
    elsewhere = asked not in (None, "auto") and not _is_in(asked, folder)
    if asked is None or elsewhere:
        begun = [stage_folder(folder, name) / MIDWAY for name in wanted]
        if taken := [path for name in wanted for path in of_stage[name]] + [path for path in begun if path.is_file()]:
            raise SettingError(
                "{path} is there already: continue with {resume} auto, or choose another {logs_dir}", path=taken[0]
            )
    if asked is not None and asked != "auto":
        checkpoint.read(Path(asked))
        own = next((n for n, name in enumerate(names) if _is_in(asked, stage_folder(folder, name))), len(names))
        if later := [path for name in names[own + 1 :] for path in of_stage[name]]:
            raise SettingError(
                "{path} is of a later stage than {resume} {asked}: choose another {logs_dir} to go back",
                path=later[0],
                asked=asked,
            )
        return Path(asked), []
    if asked is None:
        of_stage = {name: of_stage[name] for name in names[: names.index(wanted[0])]}
    warnings: list[str] = []
    for name in reversed(of_stage):
        for path in of_stage[name]:
            try:
                checkpoint.read(path)
            except UserError as error:
                warnings.append(f"warning: {error}; the one before it is taken")
                continue
            return path, warnings
    if warnings:
        raise UserError(f"{folder}: every checkpoint is damaged; the first: {warnings[0]}")
    return None, []


def _is_in(path: str | None, folder: Path) -> bool:
    return Path(str(path)).resolve().is_relative_to(folder.resolve())


def clear_leftovers(folder: Path, names: Sequence[str]) -> None:
    """Remove what a run that was killed while it wrote a file of `folder` left of it. Nobody else may write there."""
    for place in (folder, *(stage_folder(folder, name) for name in names)):
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


def take_up(trainer: Trainer, path: Path) -> list[str]:
    """Go on from a checkpoint of this method, network and images; returns notes for the log.

    Raises:
        UserError: the file is no such checkpoint.
    """
    content = checkpoint.read(path)
    try:
        return _take_up(trainer, path, content)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise UserError(f"{path}: not a checkpoint that training can be continued from ({error!r})") from None


def _take_up(trainer: Trainer, path: Path, content: dict[str, Any]) -> list[str]:
    """Check everything, then change everything."""
    method, folder, network = trainer.method, trainer.folder, trainer.network
    recipe = method.recipe
    checkpoint.demand_method(path, content, folder.method)
    saved = type(recipe).from_dict(content["recipe"])
    if "stage" not in content["run"]:
        raise SettingError("{path}: a save within an epoch, which {resume} auto takes up by itself", path=path)
    run = as_now(content["run"], folder.path / "log.jsonl")
    changeable = {name: getattr(recipe.model, name) for name in TRAINING_ONLY}
    if saved.override(changeable).model != recipe.model:
        raise UserError(f"{path}: its network differs from the one asked for; give the flags it was trained with")
    if (content["dataset"], content["trial"]) != (folder.dataset, folder.trial):
        own, trial = content["dataset"], content["trial"]
        raise UserError(f"{path}: was trained on {own}{'' if trial is None else f', trial {trial}'}")
    if run["images"] != {m.value: len(images) for m, images in trainer.images.items()}:
        raise UserError(f"{path}: was trained on other images: {run['images']}")
    if run.get("listing", trainer.listing) != trainer.listing:
        raise UserError(f"{path}: was trained on images of other names or cameras, or on these in another order")
    matcher = checkpoint.matcher_of(content)
    parts = [number for number, stage in enumerate(trainer.stages) if stage.name == run["stage"]]
    check_run(run, len(parts))  # raises where there are none
    for name, weights in (("model", content["model"]), *((("start", run["start"]),) if "start" in run else ())):
        check_tensors(weights, network.state_dict(), name)
    if run["optimizer"] is not None:
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        check_optimizer(run["optimizer"], trained, recipe.schedule.optimizer)
    inside = path.resolve().is_relative_to(folder.path.resolve())
    drawn = trainer.random.state()
    trainer.random.restore(run["random"])
    try:
        method.restore(run["method"])
    except BaseException:
        trainer.random.restore(drawn)
        raise
    network.load_state_dict(content["model"])
    trainer.position = Position(parts[0] + run["part"], run["epoch"], run["optimizer"], run["best"])
    trainer.records = run["records"] if inside else 0
    if "start" in run:
        trainer.start.keep(run["stage"], run["start"])
    said = [f"note: since that checkpoint changed: {change}" for change in recipe.differences(saved)]
    if matcher and matcher != (now := folder.matcher or "none"):
        said.append(f"note: since that checkpoint changed: matcher {now} instead of {matcher}")
    if run["seed"] != trainer.random.seed:
        said.append(f"note: goes on with the random numbers of seed {run['seed']}")
        trainer.random.seed = run["seed"]
    return said


def bring_over(trainer: Trainer, path: Path) -> None:
    """Of a run that goes on from a checkpoint of another folder: put into its own what resuming and later stages read,
    so that it needs the other no more.

    Raises:
        UserError: a file is damaged, or cannot be written.
    """
    if path.resolve().is_relative_to(trainer.folder.path.resolve()):
        return
    content, stage = checkpoint.read(path), trainer.stages[trainer.position.stage]
    place = trainer.folder.of(stage.name)
    best = path.with_name(BEST)

    def is_copied() -> bool:
        if path.parent.name != place.name or not best.is_file():
            return False
        try:
            check_tensors(checkpoint.read(best, for_training=False)["model"], trainer.network.state_dict(), "model")
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{best}: not of the run that {path} is of ({error})") from None
        _copy(best, place / BEST)
        return True

    if not trainer.folder.team.decide(is_copied):
        done = trainer.position.epoch >= stage.epochs
        if done and any(other.start == (stage.name, "best") for other in trainer.stages):
            raise UserError(f"{best}: no such file; later stages start from the best weights of stage {stage.name}")
        trainer.position.best = Position.best  # of the epochs to come
    state = trainer.state(stage)
    trainer.folder.save(place / LAST, trainer.network, content.get("note", ""), scores=content.get("scores"), run=state)


def _copy(path: Path, to: Path) -> None:
    try:
        with path.open("rb") as source, replacing(to) as file:
            shutil.copyfileobj(source, file)
    except OSError as error:
        raise UserError(f"{to}: cannot be written ({error})") from None


def as_now(run: dict[str, Any], log: Path) -> dict[str, Any]:
    """The `run` part of a checkpoint of before version 0.2, whose stages were TokenMatcher's three, in today's words.

    Args:
        log: the run's log.jsonl, in bytes of which such a checkpoint says how far it had come.
    """
    if "method" in run:
        return run
    kept = ("stage", "epoch", "random", "seed", "images", *(("start",) if "start" in run else ()))
    in_camera = run["stage"] == "camera"
    silhouette = float(run["best"]) if in_camera else -2.0
    position = run["log_position"]
    if type(position) is not int or position < 0:
        raise ValueError("log_position")
    told = log.read_bytes()[:position].count(b"\n") if log.is_file() else 0
    return {
        **{name: run[name] for name in kept},
        "part": run["camera"] if in_camera else 0,
        "optimizer": run["optimizer"],
        "best": -1.0 if in_camera else run["best"],
        "method": {"local_labels": run["local_labels"], "silhouette": silhouette},
        "records": told,
    }
