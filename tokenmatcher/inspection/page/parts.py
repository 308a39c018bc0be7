"""The parts of a page beside it: every chart and table as PNG and CSV."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from tokenmatcher.errors import SettingError
from tokenmatcher.inspection.page.drawing import chart_png, heat_png
from tokenmatcher.inspection.page.section import Section


def write_parts(sections: Sequence[Section], folder: Path, *, progress: bool = False) -> int:
    """All of them, or none; returns how many files there are.

    Raises:
        SettingError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".being-written-") as name:
            total = sum(2 * (len(s.charts) + len(s.heats)) + len(s.tables) + len(s.sheets) for s in sections)
            for file, content in tqdm(files(sections), desc="parts", total=total, disable=not progress, leave=False):
                (Path(name) / file).write_bytes(content)
            written = sorted(Path(name).iterdir())
            for path in written:
                if (taken := folder / path.name).exists() and not taken.is_file():
                    raise SettingError("{parts} {path}: is no regular file", path=taken)
            for path in written:
                path.replace(folder / path.name)
    except OSError as error:
        raise SettingError("{parts} {folder}: cannot be written to ({error})", folder=folder, error=error) from None
    return len(written)


def files(sections: Sequence[Section]) -> Iterator[tuple[str, bytes]]:
    """Name and content of each."""
    for section in sections:
        for chart in section.charts:
            yield f"{chart.name}.png", chart_png(chart)
            yield f"{chart.name}.csv", _csv(chart.rows())
        for heat in section.heats:
            yield f"{heat.name}.png", heat_png(heat)
            cells = ["" if value is None else value for row in heat.values for value in row]
            width = len(heat.columns)
            rows = [[label, *cells[n * width : (n + 1) * width]] for n, label in enumerate(heat.rows)]
            yield f"{heat.name}.csv", _csv([[heat.corner, *heat.columns], *rows])
        for name, table in section.tables.items():
            yield f"{name}.csv", _csv(table)
        for name, make in section.sheets.items():
            yield f"{name}.png", make()


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8", errors="backslashreplace")
