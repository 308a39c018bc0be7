"""Files that are whole or not there, and folders that one run writes to."""

import os
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import Forked

from tokenmatcher import machine
from tokenmatcher.errors import UserError
from tokenmatcher.machine import Machine, make_deterministic, to_device
from tokenmatcher.runtime import (
    Randomness,
    only_one,
    replacing,
)

HOLD = """
import sys, time
from pathlib import Path
from tokenmatcher.runtime import only_one
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


def test_a_second_run_is_told_who_holds_the_folder(tmp_path):
    folder, script = tmp_path / "logs", tmp_path / "hold.py"
    script.write_text(HOLD)
    holder = Forked([str(script), str(folder)])
    try:
        while holder.out.read_text() != "held\n":
            assert not holder.err.read_text()
            time.sleep(0.01)
        told = rf"another run writes here \(process {holder.pid} on .+, since 2\d\d\d-"
        with pytest.raises(UserError, match=told), only_one(folder):
            pytest.fail("two hold it")
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with only_one(folder):
        assert str(os.getpid()) in (folder / "run.lock").read_text()


def test_all_random_numbers_can_be_gone_back_to():
    random = Randomness(5)
    random.order.random(3)
    state = random.state()
    first = random.order.random(), torch.rand(2, generator=random.pixels), torch.rand(2)
    random.restore(state)
    again = random.order.random(), torch.rand(2, generator=random.pixels), torch.rand(2)
    assert first[0] == again[0]
    assert all(torch.equal(a, b) for a, b in zip(first[1:], again[1:], strict=True))


def test_precision(monkeypatch):
    cpu = torch.device("cpu")
    assert Machine.chosen("cpu") == Machine(cpu, "fp32")
    monkeypatch.setattr(machine, "choose_device", lambda *_: torch.device("cuda", 0))
    assert Machine.chosen().precision == "bf16"
    assert Machine.chosen(precision="fp32").precision == "fp32"
    a = torch.ones(2, 2)
    with Machine(cpu, "fp32").autocast():
        assert (a @ a).dtype == torch.float32
    with Machine(cpu, "bf16").autocast():
        assert (a @ a).dtype == torch.bfloat16


def test_values_on_a_device():
    values = np.arange(6)
    for given in (values, torch.from_numpy(values)):
        assert torch.equal(to_device(given, torch.device("cpu")), torch.arange(6))


@pytest.mark.gpu
def test_values_on_a_gpu_come_without_waiting():
    device, large = torch.device("cuda", 0), torch.arange(1 << 20)
    torch.cuda.set_sync_debug_mode("error")
    try:
        copies = [to_device(large, device), to_device(large.numpy(), device), to_device(large[:0], device)]
        copies.append(to_device(copies[0], device))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [len(copy) for copy in copies] == [len(large), len(large), 0, len(large)]
    assert all(torch.equal(copy.cpu(), large[: len(copy)]) for copy in copies)


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


def test_deterministic_is_pytorchs_own_switch(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        make_deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
