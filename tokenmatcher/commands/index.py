"""`tokenmatcher index`: its flags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenmatcher.cli import Parser, add_machine_flags


def parser() -> Parser:
    """All flags of the indexing."""
    made = Parser("Put the pictures of a folder into an index that `tokenmatcher search` and `serve` read.")
    made.add_argument("--checkpoint", type=Path, required=True, help="our checkpoint, or the authors'")
    made.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder with the pictures, and folders in it"
    )
    made.add_argument("--modality", choices=("visible", "infrared"), required=True, help="of these pictures")
    made.add_argument(
        "--output",
        "-o",
        required=True,
        metavar="INDEX",
        help="folder of the index, new or to be added to; or a Qdrant cluster's collection, "
        "qdrant+http://host:port/collection",
    )
    made.add_argument(
        "--table",
        type=Path,
        metavar="FILE.csv",
        help="columns path (relative to DIR), camera, time, modality (default: names of folders say camera and time)",
    )
    made.add_argument("--prune", action="store_true", help="remove pictures from the index that are gone from DIR")
    add_machine_flags(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Index as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    given = parser().called("index").parse_args(arguments)

    from tokenmatcher.commands.galleries import index

    index(given)
