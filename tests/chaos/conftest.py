import pytest
from chaos import harness


@pytest.fixture(scope="session")
def untouched(sysu, tmp_path_factory):
    """(data, a run that nobody touched, how often it comes to each point at which others are killed)"""
    whole = tmp_path_factory.mktemp("chaos") / "whole"
    return sysu, whole, harness.whole(sysu, whole)
