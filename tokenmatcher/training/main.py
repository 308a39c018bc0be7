"""`train_sysu.py` and `train_regdb.py`: their flags.

What a run takes is loaded after the flags have been read: PyTorch needs some seconds, and a wrong flag is told at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenmatcher.cli import Parser, add_recipe_flags, count, minutes, recipe_from, seed, stages_from
from tokenmatcher.data.records import Dataset, check_regdb_trial
from tokenmatcher.recipe import STAGES

PRETRAINED = {"paper": Path("pretrained/vit_base_ics_cfs_lup.pth"), "demo": Path("pretrained/demo_vit.pth")}


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

    from tokenmatcher.training.launch import launch

    launch(given, dataset, stages, recipe, trial, folder)
