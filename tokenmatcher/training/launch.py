"""From the flags of `train_sysu.py` and `train_regdb.py` to a run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from tokenmatcher.contracts import Modality
from tokenmatcher.data.images import ImageSet
from tokenmatcher.data.protocols import Benchmark, regdb_benchmark, sysu_benchmark
from tokenmatcher.data.records import Dataset, read_training
from tokenmatcher.distributed import Team, started_team
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.model.backbone import TokenViT
from tokenmatcher.model.files import load_file
from tokenmatcher.model.norms import divides
from tokenmatcher.model.weights import build_model
from tokenmatcher.recipe import Recipe
from tokenmatcher.report.header import run_header
from tokenmatcher.report.log import RunLog
from tokenmatcher.runtime import Randomness, choose_device, choose_precision, make_deterministic, only_one, replacing
from tokenmatcher.training.checkpoint import as_before
from tokenmatcher.training.interruption import caught_signals
from tokenmatcher.training.main import PRETRAINED
from tokenmatcher.training.resuming import checkpoint_to_resume, clear_leftovers
from tokenmatcher.training.run import Run
from tokenmatcher.training.stages import train

RANDOM_START = "none"
RUN_FLAGS = (
    "preset", "data_dir", "pretrained_path", "stages", "trial", "device", "precision", "compile", "recompute",
    "deterministic", "seed", "resume",
)  # fmt: skip


def launch(
    given: argparse.Namespace,
    dataset: Dataset,
    stages: Sequence[str],
    recipe: Recipe,
    trial: int | None,
    folder: Path,
) -> None:
    """Train in `folder`, in all processes that torchrun started.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    with caught_signals() as signals, started_team(given.device) as team, ExitStack() as held:
        if given.deterministic:
            make_deterministic()
        device, progress = choose_device(given.device, team.local_rank), team.leads and not given.no_progress
        precision = choose_precision(given.precision, device)
        if recipe.clusters.neighbour_search == "approximate" and find_spec("faiss") is None:
            raise UserError("--neighbour-search approximate: needs the package faiss-gpu or faiss-cpu")
        resumed, warnings = team.decide(lambda: checkpoint_to_resume(given.resume, folder, stages))
        if resumed is not None:
            recipe, notes = team.decide(partial(as_before, resumed, recipe, vars(given)))
            warnings += notes
        _check_batches(recipe, team, stages)
        records = read_training(given.data_dir, dataset, trial)
        random = Randomness(given.seed)
        if resumed is not None:
            model, start = TokenViT(recipe.model), f"continues from {resumed}"
        elif "1" not in stages:
            raise UserError(f"--stages {given.stages}: {folder} has no stage 1 to start from")
        else:
            model, start = _starting_model(given, recipe)
        store_dir = given.store_dir or given.data_dir / "store"
        suffix = "" if trial is None else f"-trial{trial}"
        with team.first_on_each_machine():
            sets = {
                modality: ImageSet.load(
                    records[modality],
                    modality,
                    store_dir,
                    f"train-{modality}{suffix}",
                    height=recipe.model.height,
                    width=recipe.model.width,
                    interpolation=recipe.data.resize,
                    cluster_interpolation=recipe.data.cluster_resize,
                    progress=progress,
                ).to(device)
                for modality in Modality
            }
            evaluate = _evaluator(given, dataset, trial, recipe, store_dir, device, team, precision)
        team.decide(lambda: held.enter_context(only_one(folder)))
        if team.leads:
            clear_leftovers(folder)
        log = RunLog(folder, silent=not team.leads)
        run = Run(
            recipe=recipe,
            dataset=dataset,
            trial=trial,
            sets=sets,
            model=model.to(device),
            device=device,
            random=random,
            folder=folder,
            log=log,
            evaluate=evaluate,
            progress=progress,
            team=team,
            precision=precision,
            compiled=given.compile,
            signals=signals,
            save_minutes=given.save_every,
            keep=given.keep,
        )
        model.vit.set_grad_checkpointing(given.recompute)
        changed: list[str] = []
        if resumed is None:
            log.cut(0)
        else:
            changed = run.resume(resumed)
        log.say(
            run_header(
                dataset, trial, recipe, sets, device, stages, precision=precision, seed=given.seed, processes=team.size
            )
        )
        for line in [*warnings, start, *changed]:
            log.say(line)
        if run.evaluate is None:
            log.say("no test data beside the training copy: nothing will be tested")
        if run.finished(stages):
            log.say("nothing is left to do")
            return
        if team.leads:
            flags = {name: str(getattr(given, name)) for name in RUN_FLAGS if getattr(given, name, None) is not None}
            with replacing(folder / "config.json") as file:
                file.write(json.dumps({"run": flags, **recipe.to_dict()}, indent=1).encode() + b"\n")
        train(run, stages)
        log.say(f"done: {folder}")


def _check_batches(recipe: Recipe, team: Team, stages: Sequence[str]) -> None:
    """Every batch norm group has as many images of each batch, and so has every process.

    Raises:
        UserError: a batch does not divide.
    """
    groups, instances = recipe.model.bn_groups, recipe.data.num_instances
    if not divides(groups, team.size):
        raise UserError(f"--bn-groups {groups}: cannot be laid over {team.size} processes; one must divide the other")
    batches = [("--batch-size", recipe.data.batch_size, 2 * instances)]
    if "camera" in stages:
        batches.append(("--camera-batch-size", recipe.camera.camera_batch_size, instances))
    for flag, size, step in batches:
        images = size // step * step
        if images % team.size:
            raise UserError(f"{flag} {size}: batches of {images} images do not divide by {team.size} processes")
        if images % groups or images < 2 * groups:
            raise UserError(
                f"--bn-groups {groups}: a batch of {images} images ({flag} {size}) cannot be cut into {groups} equal "
                "groups of at least two"
            )


def _starting_model(given: argparse.Namespace, recipe: Recipe) -> tuple[TokenViT, str]:
    """The untrained model and a line that says where its weights come from."""
    path = PRETRAINED[given.preset] if given.pretrained_path is None else given.pretrained_path
    if str(path) == RANDOM_START:
        return TokenViT(recipe.model), "starts from random weights: clusters usually collapse, see README.md"
    if not Path(path).exists():
        raise UserError(
            f"--pretrained-path {path}: no such file; README.md says where to get it ('none' for random weights)"
        )
    model, report = build_model(load_file(path), source=str(path), config=recipe.model)
    return model, f"starts from {report}"


def _evaluator(
    given: argparse.Namespace,
    dataset: Dataset,
    trial: int | None,
    recipe: Recipe,
    store_dir: Path,
    device: torch.device,
    team: Team,
    precision: str,
) -> Evaluator | None:
    """The test, where the raw test tree is there."""
    benchmark: Benchmark
    if dataset == "sysu":
        listed = given.data_dir / "exp" / "test_id.txt"
        if not listed.is_file() or not listed.read_bytes().strip():
            return None
        benchmark = sysu_benchmark(given.data_dir)
    else:
        assert trial is not None
        if not (given.data_dir / "idx" / f"test_visible_{trial}.txt").is_file():
            return None
        benchmark = regdb_benchmark(given.data_dir, trial)
    return Evaluator(
        benchmark,
        height=recipe.model.height,
        width=recipe.model.width,
        store_dir=store_dir,
        device=device,
        progress=team.leads and not given.no_progress,
        team=team,
        precision=precision,
        suffix="" if trial is None else f"-trial{trial}",
    )
