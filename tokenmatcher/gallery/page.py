"""What a search found as one HTML file with its pictures inside, which needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError, shown
from tokenmatcher.gallery.records import shown_time
from tokenmatcher.gallery.search import Gallery, Match
from tokenmatcher.images.pictures import opened
from tokenmatcher.version import __version__

SIZE = (192, 288)  # pixels that a picture is shown in at most, width and height

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color-scheme: light dark; }
h2 { font-size: 1rem; overflow-wrap: anywhere; }
.row { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start; }
figure { margin: 0; width: 150px; padding: 6px; border: 2px solid #8885; border-radius: 6px; }
figure.query { border-color: #36c; } figure.same { border-color: #283; }
img { width: 150px; height: 225px; object-fit: contain; background: #8882; }
.gone { display: grid; place-items: center; width: 150px; height: 225px; background: #8882; }
figcaption { font-size: .8rem; overflow-wrap: anywhere; }
"""


def thumbnail(path: Path) -> Image.Image:
    """A picture, small, in RGB.

    Raises:
        UserError: it cannot be read.
    """
    with opened(path) as image:
        if image.mode.startswith("I;16"):
            image = image.point(lambda value: value / 256, "L")
        image.draft("RGB", (2 * SIZE[0], 2 * SIZE[1]))  # a large JPEG is not decoded in full
        small = image.convert("RGB")
        small.thumbnail(SIZE)
        return small


def page(found: Sequence[tuple[Path, list[Match]]], modality: Modality, head: str, gallery: Gallery) -> str:
    """All queries of one modality with what was found."""
    parts = [_section(query, modality, matches) for query, matches in found]
    said = f"{escape(head)}; {gallery.threshold_note}; TokenMatcher {__version__}"
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">\n'
        f"<title>Search</title>\n<style>{STYLE}</style>\n<p>{said}</p>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _section(query: Path, modality: Modality, matches: Sequence[Match]) -> str:
    figures = [_figure(query, "query", f"query, {modality}")]
    for match in matches:
        entry = match.entry
        said = [f"{match.rank}: {match.score:.3f}, {match.verdict}", entry.modality.value]
        said += [f"camera {entry.camera}"] if entry.camera else []
        said += [shown_time(entry.time)] if entry.time is not None else []
        figures.append(_figure(Path(entry.path), "same" if match.same_person else "", ", ".join(said)))
    return f'<h2>{escape(_text(query))}</h2>\n<div class="row">\n' + "\n".join(figures) + "\n</div>"


def _figure(path: Path, kind: str, caption: str) -> str:
    try:
        file = io.BytesIO()
        thumbnail(path).save(file, "JPEG", quality=85)
        data = base64.b64encode(file.getvalue()).decode()
        image = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    except UserError:
        image = '<div class="gone">cannot be read any more</div>'
    return (
        f'<figure class="{kind}" title="{escape(_text(path))}">{image}'
        f"<figcaption>{escape(caption)}<br>{escape(shown(path.name))}</figcaption></figure>"
    )


def _text(path: Path) -> str:
    return shown(str(path))
