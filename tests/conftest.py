"""What all tests share."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from reports import FEW, made
from runs import CAMERA, SMALL
from scripts import call

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, default=240, help="data sets that tests/fuzz damages (default 240)")
    parser.addoption("--kills", type=int, default=3, help="runs that tests/chaos kills (default 3)")


@pytest.fixture(autouse=True)
def seeded():
    """A test's random numbers hang neither on the tests before it nor on the clock."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def golden():
    """Loader of vectors measured on the published implementation."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            return dict(file)

    return load


@pytest.fixture(scope="session")
def sysu(tmp_path_factory):
    """Rendered people in SYSU-MM01's layout, prepared, with strays, in a path with a space and a non-ASCII letter.
    Read only."""
    data = tmp_path_factory.mktemp("daten ü") / "sysu"
    people = ["--train-ids", "8", "--test-ids", "5", "--seed", "3", "--height", "64", "--width", "24", "--workers", "1"]
    call("-m", "tokenmatcher.people", "sysu", "--out", data, *people)
    for stray in (".DS_Store", "cam1/Thumbs.db", "cam1/0001/notes.txt"):
        (data / stray).write_text("not an image")
    assert "22,258" in call("prepare_sysu.py", "--data-dir", data, fresh=True).stdout
    return data


@pytest.fixture(scope="session")
def trained(sysu, tmp_path_factory):
    """A run of all stages."""
    logs = tmp_path_factory.mktemp("logs") / "first"
    call("train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, *SMALL, *CAMERA)
    return logs


@pytest.fixture(scope="session")
def page(trained, sysu, tmp_path_factory):
    """Of that run beside a copy of itself, with its parts."""
    folder = tmp_path_factory.mktemp("seite ü")
    second = folder / "second"
    shutil.copytree(trained, second)
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    path, parts = folder / "report.html", folder / "parts"
    done = made(trained, second, "--data-dir", sysu, "-o", path, "--parts", parts, *FEW)
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before
    return SimpleNamespace(path=path, parts=parts, said=done.stdout)


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` are left out, and said to be, where there is no CUDA device."""
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))
