"""A CSV that says camera, time and modality of pictures.

Columns `path` (relative to the folder), and `camera`, `time` (ISO 8601), `modality`, each of which may be absent; other
columns are passed over. A picture that it does not name has neither camera nor time. Lines that begin with # are
comments.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.files import leaves_root, read_text
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.gallery.records import seconds_of

LONGEST = 200  # characters of a camera's name
DAY = 86_400  # seconds
COLUMNS = ("path", "camera", "time", "modality")


@dataclass(frozen=True)
class Details:
    """What a CSV says of a picture."""

    camera: str
    time: int | None
    modality: Modality | None


def moment(text: str) -> int:
    """A time as people write it, 2026-05-01 12:30 or 2026-05-01T12:30:05, in seconds as `Entry.time`.

    Raises:
        ValueError: it is none.
    """
    return seconds_of(datetime.fromisoformat(text.strip().removesuffix("Z")))


def last_moment(text: str) -> int:
    """As `moment`; of a date alone the day's last second.

    Raises:
        ValueError: it is neither.
    """
    try:
        date.fromisoformat(text.strip())
    except ValueError:
        return moment(text)
    return moment(text) + DAY - 1


def read_details(path: Path) -> Mapping[str, Details]:
    """By relative path; see this file's head.

    Raises:
        UserError: no such file, no table, or a line that is not as it should be; names file and line.
    """
    if not path.is_file():
        raise SettingError("{table} {path}: no such file", path=path)
    text = read_text(path)
    if "\0" in text:
        raise UserError(f"{path} is not text")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    head: list[str] | None = None
    found: dict[str, Details] = {}
    try:
        for cells in lines:
            where = f"{path}, line {lines.line_num}"
            if not "".join(cells).strip() or cells[0].lstrip().startswith("#"):
                continue
            if head is None:
                head = [cell.strip().lower() for cell in cells]
                if "path" not in head or len(set(head)) < len(head):
                    raise UserError(f"{where}: must name each column once, path among them")
                continue
            if len(cells) > len(head):
                raise UserError(f"{where}: {len(cells)} cells under {len(head)} columns")
            row = dict.fromkeys(COLUMNS, "") | dict(zip(head, map(str.strip, cells), strict=False))
            name = Path(row["path"]).as_posix()
            if not row["path"] or leaves_root(row["path"]):
                raise UserError(f"{where}: {row['path'][:80]!r} is not a path inside the folder")
            if name in found:
                raise UserError(f"{where}: {row['path'][:80]!r} stands there twice")
            found[name] = _details(row, where)
    except csv.Error as error:
        raise UserError(f"{path}, line {lines.line_num}: {error}") from None
    if not found:
        raise UserError(f"{path}: names no picture")
    return found


def _details(row: Mapping[str, str], where: str) -> Details:
    if len(row["camera"]) > LONGEST:
        raise UserError(f"{where}: a camera of more than {LONGEST} letters")
    try:
        time = moment(row["time"]) if row["time"] else None
    except ValueError:
        raise UserError(f"{where}: time {row['time'][:40]!r} is not like 2026-05-01 12:30:05") from None
    modality = row["modality"].lower()
    if modality and modality not in [m.value for m in Modality]:
        raise UserError(f"{where}: modality {modality[:40]!r} is neither visible nor infrared")
    return Details(row["camera"], time, Modality(modality) if modality else None)
