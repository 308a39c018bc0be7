"""Batch norm groups over several processes: whole groups in a process, or several processes in a group."""

import pytest
import torch
from model.processes import trained
from scripts import call

from tokenmatcher.distributed import ALONE


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "groups"), [(2, (1, 2, 4)), (4, (2, 4))])
def test_processes_are_one(tmp_path, processes, groups):
    out = tmp_path / "result.pt"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
    call(*launcher, "tests/model/processes.py", out, *groups)
    for number, together in torch.load(out, weights_only=True).items():
        alone = trained(ALONE, number)
        # Logits are cosines over 0.05, so a loss is off by 20 epsilons (1.2e-7) of what it sums, in steps 2 and 3
        # also by what the weights before were off.
        torch.testing.assert_close(alone["total"], together["total"], rtol=2e-5, atol=0)
        for name, value in alone["model"].items():
            # Weights move by the rate (0.01) times a gradient of order 1 that is as precise as the loss.
            torch.testing.assert_close(value, together["model"][name], rtol=1e-5, atol=2e-5, msg=f"{number} {name}")


def test_groups_are_told_apart():
    """What the test above compares does depend on the groups."""
    one, four = trained(ALONE, 1), trained(ALONE, 4)
    assert (one["total"] - four["total"]).abs().max() > 1e-2
