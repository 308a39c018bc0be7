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
    call(*SCRIPT, out, "token_vit", *GROUPS)
    return torch.load(out, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "groups"), [(2, (1, 2, 4)), (4, (2, 4))])
def test_processes_are_one(alone, tmp_path, processes, groups):
    out = tmp_path / "result.pt"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
    call(*launcher, *SCRIPT, out, "token_vit", *groups)
    for number, together in torch.load(out, weights_only=True).items():
        assert_same(alone[number], together, f"{number} groups")


@pytest.mark.slow
def test_processes_are_one_in_a_resnet(tmp_path):
    """Whose layers are all batch norms: two processes that share a group, then a group each."""
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    call(*SCRIPT, one, "resnet", 1, 2)
    call("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, *SCRIPT, two, "resnet", 1, 2)
    one, two = (torch.load(path, weights_only=True) for path in (one, two))
    for groups in (1, 2):
        assert_same(one[groups], two[groups], f"{groups} groups")
    assert (one[1]["total"] - one[2]["total"]).abs().max() > 1e-3 * one[1]["total"].abs().max()


def assert_same(one, two, title):
    assert two["total"].dtype == torch.float64
    for name, value in {**one["model"], "total": one["total"]}.items():
        other = two["total"] if name == "total" else two["model"][name]
        # As in test_distributed.py: epsilon is 2e-16, and no mistake is as small as this. Biases in front of a batch
        # norm start at 0 and hardly move: what they have is left of much larger numbers.
        assert (value - other).abs().max() <= 1e-10 * max(value.abs().max(), 1e-2), f"{title}: {name}"


@pytest.mark.slow
def test_groups_are_told_apart(alone):
    """What the test above compares does depend on the groups."""
    for one, other in ((1, 2), (1, 4), (2, 4)):
        assert (alone[one]["total"] - alone[other]["total"]).abs().max() > 1e-3
