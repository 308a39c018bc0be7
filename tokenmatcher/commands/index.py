"""`tokenmatcher index`: its flags."""

from __future__ import annotations

from collections.abc import Sequence

from tokenmatcher.cli import Parser, add_machine_flags, file, place
from tokenmatcher.errors import SettingError, UserError, flag

NEEDED = ("checkpoint", "images", "modality")  # where pictures are to be added


def parser() -> Parser:
    """All flags of the indexing."""
    made = Parser(
        "Put the pictures of a folder into an index that `tokenmatcher search` and `serve` read, which takes "
        "--checkpoint, --images and --modality; or take some out again, which takes --forget."
    )
    made.add_argument("--checkpoint", type=file, help="our checkpoint, or the authors'")
    made.add_argument("--images", type=file, metavar="DIR", help="folder with the pictures, and folders in it")
    made.add_argument("--modality", choices=("visible", "infrared"), help="of these pictures")
    made.add_argument(
        "--output",
        "-o",
        type=place,
        required=True,
        metavar="INDEX",
        help="folder of the index, new or to be added to; or a Qdrant cluster's collection, "
        "qdrant+http://host:port/collection",
    )
    made.add_argument(
        "--table",
        type=file,
        metavar="FILE.csv",
        help="columns path (relative to DIR), camera, time, modality (default: names of folders say camera and time)",
    )
    made.add_argument("--prune", action="store_true", help="remove pictures from the index that are gone from DIR")
    made.add_argument(
        "--forget",
        type=file,
        metavar="DIR",
        help="remove all pictures below DIR from the index, and do nothing else; DIR need not be there any more",
    )
    add_machine_flags(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Index as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    made = parser().called("index")
    given = made.parse_args(arguments)
    if given.forget is not None:
        alone = (*NEEDED, "table", "prune", "device")
        if other := [name for name in alone if getattr(given, name) != made.get_default(name)]:
            raise SettingError(f"{{forget}} does not go with {{{other[0]}}}")
    elif missing := [flag(name) for name in NEEDED if getattr(given, name) is None]:
        raise UserError(f"the following arguments are required: {', '.join(missing)} (see --help)")

    from tokenmatcher.commands.galleries import forget, index

    (index if given.forget is None else forget)(given)
