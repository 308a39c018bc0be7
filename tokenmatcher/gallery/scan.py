"""The pictures in a folder, and what is known of each: camera and time.

The rule, where no CSV says it. Camera: the innermost folder named like `cam3`, `camera_3`, `camera-yard`, `c3` gives
`3`, `3`, `yard`, `3`; else the outermost folder that is no date names it. Time: the innermost folder or file name with
a date in it, 2026-05-01 or 20260501, and after it a time of day, if any: 2026-05-01_12-30-05, 20260501T123005. Only
what lies below the folder that was asked for counts.

The CSV: see `gallery.details`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError
from tokenmatcher.gallery.details import LONGEST, Details, read_details
from tokenmatcher.gallery.records import Entry, seconds_of
from tokenmatcher.images.pictures import IMAGE_SUFFIXES

CAMERA = re.compile(r"(?:camera|cam|c)(?:[ _-]*(\d+)|[ _-]+([^\W_][\w-]*))", re.IGNORECASE)
DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(\d\d)\2(\d\d)"  # a date, and maybe a time of day
    r"(?:[T _-]{0,2}(\d\d)([-_:.h]?)(\d\d)(?:\6(\d\d))?)?(?!\d)"
)


@dataclass(frozen=True)
class Found:
    """What lies in a folder.

    entries: by path, sorted.
    passed_over: path and reason of what is not indexed.
    unread: those of them, files and folders, that may hold pictures and could not be looked at.
    notes: for the user.
    """

    entries: list[Entry]
    passed_over: list[tuple[str, str]]
    unread: list[str]
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
    unread: list[str] = []
    seen: dict[tuple[int, int], Path] = {}
    others, unnamed = 0, 0
    for path, status in _files(root, passed_over, unread):
        relative = path.relative_to(root)
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
    return Found(sorted(entries, key=lambda entry: entry.path), passed_over, unread, notes)


def _files(root: Path, passed_over: list[tuple[str, str]], unread: list[str]) -> Iterator[tuple[Path, os.stat_result]]:
    """Pictures that can be looked at; the others are put into the two lists, as `Found` has them."""

    def failed(error: OSError) -> None:
        passed_over.append((str(error.filename), error.strerror or "cannot be read"))
        unread.append(str(error.filename))

    for path in walk(root, failed):
        try:
            str(path).encode()
        except UnicodeEncodeError:
            passed_over.append((str(path), "its name is not UTF-8"))
            continue
        try:
            status = path.stat()
        except OSError as error:
            failed(error)
            continue
        if stat.S_ISREG(status.st_mode):
            yield path, status
        else:  # a pipe would be waited for without end
            passed_over.append((str(path), "not a regular file"))


def walk(root: Path, failed: Callable[[OSError], None]) -> Iterator[Path]:
    """Pictures by their names, folder by folder; a folder that a link leads back to is not entered again.

    Args:
        failed: is told of folders that cannot be read, and of links that lead nowhere: to a folder, maybe.
    """
    entered: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(root, followlinks=True, onerror=failed):
        status = os.stat(place)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(place, name)
            if path.suffix.lower() in IMAGE_SUFFIXES:
                yield path
                continue
            try:
                path.stat()
            except OSError as error:
                failed(error)


def camera_of(relative: Path) -> str:
    """By the rule above; "" where no folder says it."""
    folders = relative.parts[:-1]
    for name in reversed(folders):
        if found := CAMERA.fullmatch(name):
            return found[1] or found[2]
    return next((name[:LONGEST] for name in folders if not DATE.search(name)), "")


def time_of(relative: Path) -> int | None:
    """By the rule above, in seconds as `Entry.time`; None where no name says it."""
    for name in reversed((*relative.parts[:-1], relative.stem)):
        for found in DATE.finditer(name):
            year, _, month, day, hour, _, minute, second = found.groups()
            date, time = (int(year), int(month), int(day)), (int(hour or 0), int(minute or 0), int(second or 0))
            for parts in ((*date, *time), date):  # what follows a date may be no time: a number of the picture
                with suppress(ValueError):
                    return seconds_of(datetime(*parts))
    return None
