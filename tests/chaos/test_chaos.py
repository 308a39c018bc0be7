"""A run that is killed at random ends bit for bit as one that nobody touched (`--kills 30` for more of them)."""

import pytest
import torch
from chaos import harness

pytestmark = pytest.mark.slow


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--kills")))


def test_a_killed_run_ends_as_one_that_nobody_touched(untouched, tmp_path, seed):
    data, whole, counts = untouched
    assert set(counts) == set(harness.POINTS)
    assert any(harness.trial(data, whole, tmp_path / "run", harness.drawn(seed, counts)))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_finishes_the_step_and_saves(untouched, tmp_path, name):
    data, _, _ = untouched
    run = [*harness.command(data, tmp_path), "--save-every", "1000"]
    done = harness.python("tests/chaos/killed.py", "before a step", 3, name, *run)
    assert done.returncode == 130
    assert done.stderr == f"{harness.FIRED}\nstopped by {name}; the same command with --resume auto goes on\n"
    saved = torch.load(tmp_path / "stage1" / "midway.pt", weights_only=True)
    assert saved["run"]["losses"]["total"][0].tolist() == [0, 1, 2]


def test_a_difference_is_seen(untouched, tmp_path):
    """The comparison itself: another seed of the same run."""
    data, whole, _ = untouched
    harness.demand(harness.python(*harness.command(data, tmp_path), "--seed", 2), 0)
    assert harness.differences(harness.state(whole), harness.state(tmp_path))
