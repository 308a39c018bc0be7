"""`test_sysu.py` and `test_regdb.py`: their flags.

What a test takes is loaded after the flags have been read: PyTorch needs some seconds, a wrong flag is told at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tokenmatcher.cli import Parser
from tokenmatcher.errors import UserError

MODES = {"all": ("all",), "indoor": ("indoor",), "both": ("all", "indoor")}
WEIGHTS = {"last": "last epoch", "best": "best on the test set"}
DIRECTIONS = ("visible-to-infrared", "infrared-to-visible")


def _parser(dataset: str, title: str, resume: str) -> Parser:
    parser = Parser(f"Test a model on {title} by its published protocol.")
    parser.add_argument("--resume", type=Path, required=True, help=resume)
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data") / dataset, help="raw data set (default %(default)s)"
    )
    parser.add_argument("--store-dir", type=Path, help="decoded test images (default DATA_DIR/store)")
    parser.add_argument("--json", type=Path, help="write the scores to this file as well, as fractions 0..1")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="(default %(default)s)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")
    return parser


def sysu_parser() -> Parser:
    """All flags of `test_sysu.py`."""
    parser = _parser("sysu", "SYSU-MM01", "our checkpoint, or the authors' model_best.pth.tar")
    parser.add_argument("--mode", choices=tuple(MODES), default="both", help="gallery cameras (default %(default)s)")
    parser.add_argument(
        "--shots", type=int, choices=(1, 10), default=1, help="gallery images of a person and camera (default 1)"
    )
    return parser


def test_sysu(arguments: Sequence[str] | None = None) -> None:
    """Test on SYSU-MM01 as the flags say."""
    given = sysu_parser().parse_args(arguments)
    check_writable(given.json)

    from tokenmatcher.evaluation.testing import sysu

    sysu(given)


def regdb_parser() -> Parser:
    """All flags of `test_regdb.py`."""
    parser = _parser("regdb", "RegDB", "a checkpoint, or a folder with trial_1 to trial_10 as train_regdb.py leaves it")
    parser.add_argument(
        "--direction", choices=(*DIRECTIONS, "both"), default="both", help="query to gallery (default %(default)s)"
    )
    parser.add_argument(
        "--weights",
        choices=tuple(WEIGHTS),
        help="of each trial in a folder: of the last epoch, or the best on the test set, as published (default last)",
    )
    parser.add_argument("--trial", type=int, help="the split of a model that does not know its own (the authors')")
    return parser


def test_regdb(arguments: Sequence[str] | None = None) -> None:
    """Test on RegDB as the flags say."""
    given = regdb_parser().parse_args(arguments)
    check_writable(given.json)

    from tokenmatcher.evaluation.testing import regdb

    regdb(given)


def check_writable(path: Path | None) -> None:
    """Before the work, not after it.

    Raises:
        UserError: no file can be written there.
    """
    if path is None:
        return
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not path.name or path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"--json {path}: no file can be written there")
