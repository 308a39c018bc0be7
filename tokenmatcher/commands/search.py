"""`tokenmatcher search`: its flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tokenmatcher.cli import Parser, count, file, place, rate
from tokenmatcher.commands.test import check_writable
from tokenmatcher.errors import SettingError


def add_gallery(made: argparse._ActionsContainer) -> None:
    """The flags that `serve` has, too."""
    made.add_argument(
        "index", type=place, metavar="INDEX", help="what `tokenmatcher index` made: a folder, or a cluster's URI"
    )
    made.add_argument("--checkpoint", type=file, help="where the model lies now (default: where the index says)")
    made.add_argument(
        "--false-accept",
        type=rate,
        metavar="RATE",
        help="same person: from the threshold on that lets this share of pairs of two people pass, one that "
        "`tokenmatcher calibrate` measured (default 0.01)",
    )
    made.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="(default %(default)s)")


def parser() -> Parser:
    """All flags of the search."""
    made = Parser("Find the pictures of an index that resemble a person.")
    add_gallery(made)
    made.add_argument("queries", type=file, nargs="+", metavar="QUERY", help="a picture, or a folder of pictures")
    made.add_argument(
        "--modality", choices=("visible", "infrared"), default="infrared", help="of the queries (default %(default)s)"
    )
    made.add_argument(
        "--top", "-k", type=count, default=10, metavar="N", help="matches of a query (default %(default)s)"
    )
    made.add_argument("--among", choices=("visible", "infrared"), help="search these alone (default: both)")
    made.add_argument("--camera", metavar="A,B", help="search pictures of these cameras alone")
    made.add_argument("--since", metavar="TIME", help="taken then or later: '2026-05-01 12:30'")
    made.add_argument("--until", metavar="TIME", help="taken then or before; a date alone: that day included")
    shown = made.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument("--html", type=file, metavar="FILE", help="write a page with the pictures in it")
    made.add_argument("--no-progress", action="store_true", help="no progress bar")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Search as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    given = parser().called("search").parse_args(arguments)
    if given.top < 1:
        raise SettingError("{top} must be at least 1")
    check_writable(given.html, "html")

    from tokenmatcher.commands.searching import search

    search(given)
