"""A model for the tests of searches."""

import pytest
from galleries import save_checkpoint

from tokenmatcher import TokenMatcher


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("model") / "last.pt")


@pytest.fixture(scope="session")
def model(checkpoint):
    return TokenMatcher.from_checkpoint(checkpoint, device="cpu")
