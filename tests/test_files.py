"""Files that are whole or not there, and folders that one run writes to."""

import errno
import fcntl
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from scripts import Forked

from tokenmatcher.commands.test import check_writable
from tokenmatcher.errors import UserError
from tokenmatcher.files import made, only_one, replacing

HOLD = """
import sys, time
from pathlib import Path
from tokenmatcher.files import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    while True:
        time.sleep(60)
"""


def test_a_file_is_whole_or_as_before(tmp_path):
    path = tmp_path / "new" / "file"
    with replacing(path) as file:
        file.write(b"first")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"sec")
        raise RuntimeError
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_only_a_regular_file_is_replaced(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link, tmp_path):
        with pytest.raises(OSError, match="no regular file"), replacing(path):
            pytest.fail("it is written to")
    for path in (pipe, link):
        with pytest.raises(UserError, match="is no regular file"):
            check_writable(path)
    assert stat.S_ISFIFO(pipe.lstat().st_mode) and link.is_symlink()


def test_a_second_run_is_told_who_holds_the_folder(tmp_path):
    folder, script = tmp_path / "logs", tmp_path / "hold.py"
    script.write_text(HOLD)
    holder = Forked([str(script), str(folder)])
    try:
        while holder.out.read_text() != "held\n":
            assert not holder.err.read_text() and holder.guard.is_alive()
            time.sleep(0.01)
        told = rf"another run writes here \(process {holder.pid} on .+, since 2\d\d\d-"
        with pytest.raises(UserError, match=told), only_one(folder):
            pytest.fail("two hold it")
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with only_one(folder):
        assert str(os.getpid()) in (folder / "run.lock").read_text()


def test_a_lock_that_its_holder_took_away_is_no_lock(tmp_path, monkeypatch):
    """Opened while another held it, locked when that one had removed it and was gone."""
    flock = fcntl.flock

    def late(file, how):
        (tmp_path / "run.lock").unlink()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UserError, match="another run writes here"), only_one(tmp_path):
        pytest.fail("nobody else would be told")


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def none(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(UserError, match=r"cannot be written to \(.*No locks available"), only_one(tmp_path):
        pytest.fail("it is not held")


def test_folders_that_stay_empty_go(tmp_path):
    with made(tmp_path / "a/b"):
        assert (tmp_path / "a/b").is_dir()
    assert not list(tmp_path.iterdir())
    with made(tmp_path / "a/b"):
        (tmp_path / "a/b/file").touch()
    with made(tmp_path / "a"):
        pass
    assert (tmp_path / "a/b/file").is_file()


def test_a_file_and_its_folder_are_on_disk_before_it_is_done(tmp_path, monkeypatch):
    """What power loss may undo is what was not flushed: content first, then the name."""
    done = []
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(self, target):
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    with replacing(tmp_path / "new.bin") as file:
        file.write(b"content")
    assert done == ["file", "rename", "folder"]
