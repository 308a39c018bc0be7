"""`tokenmatcher serve`: its flags."""

from __future__ import annotations

from collections.abc import Sequence

from tokenmatcher.cli import Parser, count, place
from tokenmatcher.commands.search import add_gallery
from tokenmatcher.errors import SettingError

HERE, MOST_PORT = "127.0.0.1", 65535


def parser() -> Parser:
    """All flags of the page."""
    made = Parser("Search an index on a local page: drop a picture, see who resembles it, go on from a match.")
    add_gallery(made)
    made.add_argument(
        "--host",
        type=place,
        default=HERE,
        help="address to listen at; another than %(default)s opens the pictures to others",
    )
    made.add_argument("--port", type=count, default=7860, help="(default %(default)s)")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as the flags say, until interrupted.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    given = parser().called("serve").parse_args(arguments)
    if not 1 <= given.port <= MOST_PORT:
        raise SettingError(f"{{port}} must lie between 1 and {MOST_PORT}")

    from tokenmatcher.gallery.stores import needed

    needed("gradio", "tokenmatcher serve")

    from tokenmatcher.commands.galleries import serve

    serve(given)
