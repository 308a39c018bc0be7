"""`tokenmatcher report`: its flags."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tokenmatcher.cli import Parser, add_machine_flags, count, file, seed
from tokenmatcher.commands.config import WEIGHTS
from tokenmatcher.commands.test import check_writable
from tokenmatcher.errors import SettingError, UserError

NEEDED = ("plotly", "jinja2")
FOR_PARTS = ("matplotlib",)
OF_PICTURES = ("weights", "before", "queries", "points", "images", "store_dir", "seed", "device")  # flags


def parser() -> Parser:
    """All flags of the report."""
    made = Parser(
        "One HTML file about runs: is a run healthy, whom does it fail on, what goes into the paper. It opens from "
        "disk and loads nothing. Rank lists, similarities, attention and clusters are the first run's; the others' "
        "curves and scores stand beside its own."
    )
    made.add_argument("logs", nargs="+", type=Path, metavar="LOGS", help="a run's folder, or one with trial_1, ...")
    made.add_argument(
        "--data-dir", type=Path, help="the data set's folder; without it only what needs no pictures is shown"
    )
    made.add_argument(
        "--dataset",
        metavar="NAME|FILE.csv",
        help="the runs' data set, where it is a file that has moved (default: what the run names)",
    )
    made.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="(default %(default)s)")
    made.add_argument("--parts", type=file, metavar="FOLDER", help="write every chart and table there, as PNG and CSV")
    made.add_argument(
        "--weights", choices=tuple(WEIGHTS), default="last", help="last epoch, or best on the test set (default last)"
    )
    made.add_argument(
        "--before", metavar="FILE|none", help="the weights that training began with (default: what the run names)"
    )
    made.add_argument("--queries", type=count, default=100, help="rank lists that are shown (default %(default)s)")
    made.add_argument("--points", type=count, default=600, help="images on a map of embeddings (default %(default)s)")
    made.add_argument(
        "--images",
        type=count,
        default=0,
        help="training images of each modality that are clustered and mapped; people are drawn where there are more "
        "(default 0: all)",
    )
    made.add_argument("--store-dir", type=Path, help="decoded images (default: beside the data)")
    made.add_argument("--seed", type=seed, default=0, help="of what is drawn (default %(default)s)")
    add_machine_flags(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    given = parser().called("report").parse_args(arguments)
    needed = (*NEEDED, *(FOR_PARTS if given.parts else ()))
    if missing := [name for name in needed if find_spec(name) is None]:
        raise UserError(f'report needs {", ".join(missing)}: pip install ".[report]"')
    for name, least in (("queries", 1), ("points", 3)):
        if getattr(given, name) < least:
            raise SettingError(f"{{{name}}} must be at least {least}")
    check_writable(given.output, "output")
    if given.parts is not None:
        if given.parts.exists() and not given.parts.is_dir():
            raise SettingError("{parts} {path}: is no folder", path=given.parts)
        check_writable(given.parts / "part.csv", "parts")

    from tokenmatcher.commands.reporting import report

    report(given)
