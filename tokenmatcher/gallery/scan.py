"""The pictures in a folder, and what is known of each: camera and time.

The rule, where no CSV says it. Camera: the innermost folder named like `cam3`, `camera_3`, `camera-yard`, `c3` gives
`3`, `3`, `yard`, `3`; else the outermost folder that is no date names it. Time: the innermost folder or file name with
a date in it, 2026-05-01 or 20260501, and after it a time of day, if any: 2026-05-01_12-30-05, 20260501T123005. Only
what lies below the folder that was asked for counts.

The CSV: columns `path` (relative to the folder), and `camera`, `time` (ISO 8601), `modality`, each of which may be
absent; other columns are passed over. A picture that it does not name has neither camera nor time.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.files import leaves_root, read_text
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.gallery.records import Entry, seconds_of
from tokenmatcher.images.pictures import IMAGE_SUFFIXES

CAMERA = re.compile(r"(?:cam(?:era)?[ _-]?|c(?=\d))([\w-]+)", re.IGNORECASE)
DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(\d\d)\2(\d\d)"  # a date, and maybe a time of day
    r"(?:[T _-]{0,2}(\d\d)([-_:.h]?)(\d\d)(?:\6(\d\d))?)?(?!\d)"
)
LONGEST = 200  # characters of a camera's name
COLUMNS = ("path", "camera", "time", "modality")


@dataclass(frozen=True)
class Details:
    """What a CSV says of a picture."""

    camera: str
    time: int | None
    modality: Modality | None


@dataclass(frozen=True)
class Found:
    """What lies in a folder.

    entries: by path, sorted.
    passed_over: path and reason of pictures that cannot be indexed.
    notes: for the user.
    """

    entries: list[Entry]
    passed_over: list[tuple[str, str]]
    notes: list[str]


def scan(folder: Path, modality: Modality, table: Path | None = None) -> Found:
    """All pictures in a folder and the folders in it, through links, too; hidden files and folders are passed over.

    A file that has several names there is taken once, by its first name.

    Raises:
        UserError: the folder or the table is not as it should be.
    """
    if not folder.is_dir():
        raise SettingError("{images} {folder}: no such folder", folder=folder)
    details = None if table is None else read_details(table)
    root, entries = folder.resolve(), []
    passed_over: list[tuple[str, str]] = []
    seen: dict[tuple[int, int], Path] = {}
    others, unnamed = 0, 0
    for path in _walk(root, passed_over):
        relative = path.relative_to(root)
        try:
            str(path).encode()
        except UnicodeEncodeError:
            passed_over.append((str(path), "its name is not UTF-8"))
            continue
        try:
            status = path.stat()
        except OSError as error:
            passed_over.append((str(path), error.strerror or "cannot be read"))
            continue
        if details is None:
            camera, time = camera_of(relative), time_of(relative)
        else:
            said = details.get(relative.as_posix())
            if said is None:
                unnamed += 1
                said = Details("", None, None)
            elif said.modality not in (None, modality):
                others += 1
                continue
            camera, time = said.camera, said.time
        if (first := seen.setdefault((status.st_dev, status.st_ino), path)) is not path:
            passed_over.append((str(path), f"the same file as {first}"))
            continue
        entries.append(Entry(str(path), modality, camera, time, status.st_size, status.st_mtime_ns))
    notes = []
    if details is not None:
        named = {str(root / name) for name in details}
        absent = len(named) - len(named & {entry.path for entry in entries}) - others
        notes += [f"{table}: {others} pictures of the other modality are passed over"] if others else []
        notes += [f"{table}: does not name {unnamed} pictures, which get no camera and no time"] if unnamed else []
        notes += [f"{table}: names {absent} pictures that are not in {folder}"] if absent > 0 else []
    return Found(sorted(entries, key=lambda entry: entry.path), passed_over, notes)


def _walk(root: Path, passed_over: list[tuple[str, str]]) -> Iterator[Path]:
    """Pictures, folder by folder; a folder that a link leads back to is not entered again."""
    entered: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(
        root, followlinks=True, onerror=lambda error: passed_over.append((str(error.filename), str(error.strerror)))
    ):
        status = os.stat(place)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122
                yield Path(place, name)


def camera_of(relative: Path) -> str:
    """By the rule above; "" where no folder says it."""
    folders = relative.parts[:-1]
    for name in reversed(folders):
        if found := CAMERA.fullmatch(name):
            return found[1]
    return next((name[:LONGEST] for name in folders if not DATE.search(name)), "")


def time_of(relative: Path) -> int | None:
    """By the rule above, in seconds as `Entry.time`; None where no name says it."""
    for name in reversed((*relative.parts[:-1], relative.stem)):
        for found in DATE.finditer(name):
            year, _, month, day, hour, _, minute, second = found.groups()
            try:
                moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
            except ValueError:
                continue  # digits that are no date
            return seconds_of(moment)
    return None


def moment(text: str) -> int:
    """A time as people write it, 2026-05-01 12:30 or 2026-05-01T12:30:05, in seconds as `Entry.time`.

    Raises:
        ValueError: it is none.
    """
    return seconds_of(datetime.fromisoformat(text.strip().removesuffix("Z")))


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
