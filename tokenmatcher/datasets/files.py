"""Folders, small text files and lists, read with care: what lies there is a stranger's."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.images.pictures import IMAGE_SUFFIXES


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name; none if there is no such folder.

    Other files, hidden files (`._x.jpg`) and folders are passed over.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (40,000 names)
                and entry.is_file()
            )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:  # names the entry of a loop of links, else the folder
        raise UserError(f"cannot read {error.filename or folder}: {error.strerror}") from error
    return [folder / name for name in names]


def read_ids(path: Path) -> list[int]:
    """The distinct identities of an id list (`exp/train_id.txt`), ascending.

    Commas, blanks and line ends separate; a byte-order mark and empty entries are passed over.

    Raises:
        UserError: no such file, or an entry that is not a number.
    """
    entries = [entry for entry in re.split(r"[,\s]+", read_text(path)) if entry]
    for entry in entries:
        if not (entry.isascii() and entry.isdigit() and len(entry) < 10):
            raise UserError(f"{path}: {entry[:40]!r} is not an identity number")
    return sorted({int(entry) for entry in entries})


def read_list(path: Path, data_dir: Path) -> dict[Path, int]:
    """The images of a list in its order, with their labels; a line is `<path relative to data_dir> <label>`.

    Raises:
        UserError: no such list, an empty one, or a line that has no label, leaves `data_dir`, names an
            absent file or one that was listed before.
    """
    labels: dict[Path, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        entry, _, label = line.strip().replace("\t", " ").rpartition(" ")
        entry = entry.rstrip()
        if not (entry and label.isascii() and label.isdigit() and len(label) < 10):
            raise UserError(f"{where}: {line.strip()[:80]!r} is not '<relative path> <label>'")
        if leaves_root(entry):
            raise UserError(f"{where}: {entry[:80]!r} leads out of the data folder")
        image = data_dir / entry
        if not os.path.isfile(image):  # noqa: PTH113 (False, not an error, where a name is too long)
            raise UserError(f"{where}: no such file: {image}")
        if image in labels:
            raise UserError(f"{where}: {entry[:80]!r} is listed twice")
        labels[image] = int(label)
    if not labels:
        raise UserError(f"{path} lists no image")
    return labels


def require_folder(data_dir: Path) -> None:
    """Raises UserError if there is no folder `data_dir`."""
    if not data_dir.is_dir():
        raise SettingError("no such folder: {path} ({data_dir})", path=data_dir)


def leaves_root(entry: str) -> bool:
    """Whether a path from a list leads out of the folder that it is relative to."""
    if entry[:1] != "/" and not any(mark in entry for mark in ("..", "\\", ":")):
        return False  # as nearly always; what follows takes a while for a million
    paths = PurePosixPath(entry), PureWindowsPath(entry)
    return any(path.anchor or ".." in path.parts for path in paths)


def read_text(path: Path) -> str:
    """A small text file.

    Raises:
        UserError: it is not there, cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text") from error
    except FileNotFoundError as error:
        raise SettingError("no such file: {path} (is {data_dir} right?)", path=path) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
