import pytest
from chaos import harness


@pytest.fixture(scope="session")
def untouched(tmp_path_factory):
    """(data, a run that nobody touched, how often it comes to each point at which others are killed)"""
    folder = tmp_path_factory.mktemp("chaos")
    data = harness.rendered(folder / "data")
    return data, folder / "whole", harness.whole(data, folder / "whole")
