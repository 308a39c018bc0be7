"""Batch norm groups over several processes: whole groups in a process, or several processes in a group."""

import pytest
import torch
from scripts import call

SCRIPT = ["tests/doubled.py", "tests/models/processes.py"]
GROUPS = (1, 2, 4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """By number of groups, what one process makes."""
    out = tmp_path_factory.mktemp("alone") / "result.pt"
    call(*SCRIPT, out, *GROUPS)
    return torch.load(out, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "groups"), [(2, (1, 2, 4)), (4, (2, 4))])
def test_processes_are_one(alone, tmp_path, processes, groups):
    out = tmp_path / "result.pt"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
    call(*launcher, *SCRIPT, out, *groups)
    for number, together in torch.load(out, weights_only=True).items():
        assert together["total"].dtype == torch.float64
        for name, value in {**alone[number]["model"], "total": alone[number]["total"]}.items():
            other = together["total"] if name == "total" else together["model"][name]
            # As in test_distributed.py: epsilon is 2e-16, and no mistake is as small as this.
            assert (value - other).abs().max() <= 1e-10 * value.abs().max(), f"{number} groups: {name}"


@pytest.mark.slow
def test_groups_are_told_apart(alone):
    """What the test above compares does depend on the groups."""
    for one, other in ((1, 2), (1, 4), (2, 4)):
        assert (alone[one]["total"] - alone[other]["total"]).abs().max() > 1e-3
