"""Files that are whole or not there, and folders that one process holds."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from tokenmatcher.errors import SettingError


def before(path: Path, age: int) -> Path:
    """Where the file that `path` was `age` saves ago is kept: last.pt, last-1.pt, last-2.pt."""
    return path if age == 0 else path.with_name(f"{path.stem}-{age}{path.suffix}")


def _keep_as(path: Path, name: Path) -> None:
    """A second name, so that at no moment there is no file under the first."""
    name.unlink(missing_ok=True)
    try:
        name.hardlink_to(path)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, name)


def _sync_folder(folder: Path) -> None:
    """A rename is on disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """`folder` is there while the body runs, and afterwards unless it was new and nothing came into it."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for one in new:
            with contextlib.suppress(OSError):
                one.rmdir()


@contextlib.contextmanager
def replacing(path: Path, *, keep: int = 0) -> Iterator[BinaryIO]:
    """Write to a temporary neighbour of `path`, flushed to disk and renamed at the end, removed on any failure.

    Args:
        keep: that many former files stay, as `before` names them.

    Raises:
        OSError: it cannot be written, or `path` is there and no regular file: a folder, a device, a pipe.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        for age in range(keep, 0, -1):
            if (younger := before(path, age - 1)).exists():
                _keep_as(younger, before(path, age))
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


@contextlib.contextmanager
def only_one(folder: Path, setting: str = "logs_dir") -> Iterator[None]:
    """Hold `folder` for this process while the body runs; the system lets go of it when the process ends, however.
    The body may remove the folder at its end.

    Args:
        setting: that names the folder.

    Raises:
        UserError: another process holds it; names that one. Or it cannot be written to.
    """
    path = folder / "run.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, setting, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):  # one that its holder took away
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            file.seek(0)
            holder = file.read().strip()
            raise SettingError(
                f"{{{setting}}} {{folder}}: another run writes here ({{holder}})", folder=folder, holder=holder
            ) from None
        except OSError as error:  # a file system without locks
            raise _unwritable(folder, setting, error) from None
        holder = f"process {os.getpid()} on {platform.node()}, since {datetime.now():%Y-%m-%d %H:%M:%S}\n"
        try:
            file.truncate(0)
            os.write(file.fileno(), holder.encode())  # a buffer would be written again, in vain, when it is closed
        except OSError as error:
            path.unlink()
            raise _unwritable(folder, setting, error) from None
        yield


def _unwritable(folder: Path, setting: str, error: OSError) -> SettingError:
    return SettingError(f"{{{setting}}} {{folder}}: cannot be written to ({{error}})", folder=folder, error=error)
