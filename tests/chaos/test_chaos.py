"""A run that is killed at random ends bit for bit as one that nobody touched (`--kills 30` for more of them)."""

import pytest
from chaos import harness

pytestmark = pytest.mark.slow


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--kills")))


def test_a_killed_run_ends_as_one_that_nobody_touched(untouched, tmp_path, seed):
    data, whole, counts = untouched
    assert set(counts) == set(harness.POINTS)
    harness.trial(data, whole, tmp_path / "run", harness.drawn(seed, counts))


def test_a_difference_is_seen(untouched, tmp_path):
    """The comparison itself: another seed of the same run."""
    data, whole, _ = untouched
    harness.demand(harness.python(*harness.command(data, tmp_path), "--seed", 2), 0)
    assert harness.differences(harness.state(whole), harness.state(tmp_path))
