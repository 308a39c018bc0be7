"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, default=160, help="data sets that tests/fuzz damages (default 160)")
    parser.addoption("--kills", type=int, default=3, help="runs that tests/chaos kills (default 3)")


@pytest.fixture(scope="session")
def golden():
    """Loader of vectors measured on the published implementation."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            return dict(file)

    return load


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` are left out, and said to be, where there is no CUDA device."""
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))
