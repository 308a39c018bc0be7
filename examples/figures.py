"""The README's two pictures: the pipeline, and a contact sheet of rendered people.

python -m examples.figures --out examples
"""

from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image

from tokenmatcher.cli import Parser, run
from tokenmatcher.files import replacing
from tokenmatcher.people import World, contact_sheet

BOX_WIDTH, BOX_HEIGHT, GAP, MARGIN = 190, 92, 26, 16
INK, LINE = "#1f2933", "#7b8794"
ROWS = [
    (
        "Model",
        "#e3f2e8",
        [
            ("Images", ["visible and infrared", "byte store, batched augmentation"]),
            ("Two stems", ["one conv stem (ICS)", "for each modality"]),
            ("Shared ViT", ["T class tokens", "kept apart by a diversity loss"]),
            ("Features", ["a batch norm each,", "T tokens concatenated"]),
        ],
    ),
    (
        "Each epoch",
        "#e6eefb",
        [
            ("Pseudo labels", ["k-reciprocal Jaccard, DBSCAN,", "each modality alone"]),
            ("DTNL", ["neighbours on which", "all tokens agree"]),
            ("Matching", ["visible and infrared clusters,", "greedy, both ways"]),
            ("HF", ["two clusters on one partner:", "one person, pulled together"]),
        ],
    ),
    (
        "Run",
        "#fdf0e0",
        [
            ("Stage 1", ["own-modality memories", "+ diversity"]),
            ("Camera stage", ["each camera alone:", "local clusters filter neighbours"]),
            ("Stage 2", ["mixed memories, cross-modality", "+ neighbours + fusion"]),
            ("Test", ["infrared query,", "visible gallery"]),
        ],
    ),
]


def pipeline() -> str:
    """The method at a glance, as SVG."""
    columns = len(ROWS[0][2])
    left = 92
    width = left + columns * BOX_WIDTH + (columns - 1) * GAP + MARGIN
    height = len(ROWS) * (BOX_HEIGHT + GAP) - GAP + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="Helvetica, Arial, sans-serif" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker>',
    ]
    for row, (name, colour, boxes) in enumerate(ROWS):
        top = MARGIN + row * (BOX_HEIGHT + GAP)
        middle = top + BOX_HEIGHT / 2
        parts.append(f'<text x="{MARGIN}" y="{middle + 5}" font-size="14" font-weight="bold">{escape(name)}</text>')
        for column, (title, lines) in enumerate(boxes):
            x = left + column * (BOX_WIDTH + GAP)
            centre = x + BOX_WIDTH / 2
            parts.append(
                f'<rect x="{x}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" fill="{colour}" '
                f'stroke="{LINE}"/>'
            )
            parts.append(_text(centre, top + 28, title, 15, bold=True))
            parts += [_text(centre, top + 52 + 18 * number, line, 12) for number, line in enumerate(lines)]
            if column + 1 < columns:
                end = x + BOX_WIDTH
                parts.append(
                    f'<line x1="{end + 2}" y1="{middle}" x2="{end + GAP - 3}" y2="{middle}" stroke="{LINE}" '
                    f'stroke-width="1.5" marker-end="url(#tip)"/>'
                )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, size: int, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle"{weight}>{escape(text)}</text>'


def main() -> None:
    parser = Parser("Draw the README's pictures.")
    parser.add_argument("--out", type=Path, default=Path("examples"), help="folder (default %(default)s)")
    out = parser.parse_args().out
    with replacing(out / "pipeline.svg") as file:
        file.write(pipeline().encode())
    sheet = Image.fromarray(contact_sheet(World(seed=7), range(8), shots=2))
    with replacing(out / "people.png") as file:
        sheet.save(file, format="PNG", optimize=True)


if __name__ == "__main__":
    run(main)
