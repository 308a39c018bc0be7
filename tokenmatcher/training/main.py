"""`train_sysu.py` and `train_regdb.py`: from flags to a run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import torch

from tokenmatcher.cli import Parser, add_recipe_flags, count, minutes, recipe_from, seed, stages_from
from tokenmatcher.contracts import Modality
from tokenmatcher.data.images import ImageSet
from tokenmatcher.data.protocols import Benchmark, regdb_benchmark, sysu_benchmark
from tokenmatcher.data.records import Dataset, check_regdb_trial, read_training
from tokenmatcher.distributed import Team, started_team
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.model.backbone import TokenViT
from tokenmatcher.model.files import load_file
from tokenmatcher.model.weights import build_model
from tokenmatcher.presets import Recipe
from tokenmatcher.report.header import run_header
from tokenmatcher.report.log import RunLog
from tokenmatcher.runtime import Randomness, choose_device, choose_precision, make_deterministic, only_one, replacing
from tokenmatcher.training.interruption import Signals, caught_signals
from tokenmatcher.training.resuming import checkpoint_to_resume, clear_leftovers
from tokenmatcher.training.run import Run
from tokenmatcher.training.stages import STAGES, train

PRETRAINED = {"paper": Path("pretrained/vit_base_ics_cfs_lup.pth"), "demo": Path("pretrained/demo_vit.pth")}
RANDOM_START = "none"
RUN_FLAGS = (
    "preset", "data_dir", "pretrained_path", "stages", "trial", "device", "precision", "compile", "recompute",
    "deterministic", "seed", "resume",
)  # fmt: skip


def parser_for(dataset: Dataset) -> Parser:
    """All flags of `train_<dataset>.py`."""
    stages = STAGES if dataset == "sysu" else ("1", "2")
    parser = Parser(
        f"Train TokenMatcher on {dataset}. Sources of the numbers: [P] paper, [C] published code, [D] ours."
    )
    group = parser.add_argument_group("run")
    group.add_argument(
        "--data-dir",
        type=Path,
        default=Path("data") / dataset,
        help="data set with its training copy (default %(default)s)",
    )
    group.add_argument(
        "--logs-dir", type=Path, default=Path("logs") / dataset, help="logs and checkpoints (default %(default)s)"
    )
    group.add_argument(
        "--store-dir", type=Path, help="decoded images, 5 GB for SYSU-MM01 at 384x128 (default DATA_DIR/store)"
    )
    group.add_argument(
        "--preset", choices=("paper", "demo"), default="paper", help="all numbers below at once (default %(default)s)"
    )
    group.add_argument(
        "--pretrained-path",
        help="start: a self-supervised file, a checkpoint, or 'none' (default by preset: "
        + ", ".join(f"{preset} {path}" for preset, path in PRETRAINED.items())
        + ")",
    )
    group.add_argument("--stages", default=",".join(stages), help="which of them to do (default %(default)s)")
    if dataset == "regdb":
        group.add_argument("--trial", type=int, default=1, help="split 1 to 10, each with its own model (default 1)")
    group.add_argument(
        "--resume", help="'auto': continue the run in LOGS_DIR if there is one; or a last.pt to continue"
    )
    group.add_argument(
        "--save-every",
        type=minutes,
        default=10.0,
        metavar="MINUTES",
        help="save within an epoch, too; 0: after every step (default %(default)s)",
    )
    group.add_argument(
        "--keep",
        type=count,
        default=1,
        metavar="N",
        help="former last.pt kept for when the newest is damaged (default %(default)s)",
    )
    group.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="(default %(default)s)")
    group.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="of the backbone's products; auto: bf16 on a GPU, fp32 on the CPU (default %(default)s)",
    )
    group.add_argument("--compile", action="store_true", help="let PyTorch compile the backbone's training pass")
    group.add_argument(
        "--recompute",
        action="store_true",
        help="forget activations and compute them again backwards: a third slower, fits a 24 GB GPU",
    )
    group.add_argument(
        "--deterministic", action="store_true", help="the same bits every time on a GPU, too; the CPU's always are"
    )
    group.add_argument("--seed", type=seed, default=1, help="of all random numbers (default %(default)s)")
    group.add_argument("--no-progress", action="store_true", help="no progress bars")
    add_recipe_flags(parser, dataset)
    return parser


def main(dataset: Dataset, arguments: Sequence[str] | None = None) -> None:
    """Train as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    given = parser_for(dataset).parse_args(arguments)
    stages = stages_from(given.stages, STAGES if dataset == "sysu" else ("1", "2"))
    recipe = recipe_from(given, dataset)
    trial = check_regdb_trial(given.trial) if dataset == "regdb" else None
    folder = given.logs_dir if trial is None else given.logs_dir / f"trial_{trial}"
    with caught_signals() as signals, started_team(given.device) as team:
        _train(given, dataset, stages, recipe, trial, folder, team, signals)


def _train(
    given: argparse.Namespace,
    dataset: Dataset,
    stages: Sequence[str],
    recipe: Recipe,
    trial: int | None,
    folder: Path,
    team: Team,
    signals: Signals,
) -> None:
    if given.deterministic:
        make_deterministic()
    device, progress = choose_device(given.device, team.local_rank), team.leads and not given.no_progress
    precision = choose_precision(given.precision, device)
    if recipe.clusters.neighbour_search == "approximate" and find_spec("faiss") is None:
        raise UserError("--neighbour-search approximate: needs the package faiss-gpu or faiss-cpu")
    _check_shares(recipe, team, dataset)
    resumed, warnings = team.decide(lambda: checkpoint_to_resume(given.resume, folder, stages))
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
                progress=progress,
            ).to(device)
            for modality in Modality
        }
        evaluate = _evaluator(given, dataset, trial, recipe, store_dir, device, team, precision)
    with ExitStack() as held:
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
        where = f"seed {given.seed}, backbone in {precision}"
        log.say(run_header(dataset, trial, recipe, sets, device, stages, team.size, where))
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


def _check_shares(recipe: Recipe, team: Team, dataset: Dataset) -> None:
    """Every process gets as many images of each batch.

    Raises:
        UserError: a batch does not divide.
    """
    instances = recipe.data.num_instances
    batches = [("--batch-size", recipe.data.batch_size, 2 * instances)]
    if dataset == "sysu":
        batches.append(("--camera-batch-size", recipe.camera.camera_batch_size, instances))
    for flag, size, step in batches:
        images = size // step * step
        if images % team.size:
            raise UserError(f"{flag} {size}: batches of {images} images do not divide by {team.size} processes")


def _starting_model(given: argparse.Namespace, recipe: Recipe) -> tuple[TokenViT, str]:
    """The untrained model and a line that says where its weights come from."""
    path = PRETRAINED[given.preset] if given.pretrained_path is None else given.pretrained_path
    if str(path) == RANDOM_START:
        return TokenViT(recipe.model), "starts from random weights: clusters usually collapse, see README.md"
    if not Path(path).is_file():
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
