import math

import pytest
import torch

from tokenmatcher.schedules import cosine


def test_cosine():
    assert cosine(0, 50, 3.5e-4, 1e-6) == pytest.approx(3.5e-4)
    assert cosine(50, 50, 3.5e-4, 1e-6) == pytest.approx(1e-6)
    assert cosine(25, 50, 3.5e-4, 1e-6) == pytest.approx((3.5e-4 + 1e-6) / 2)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=3.5e-4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=1e-6)
    for epoch in range(50):
        assert math.isclose(reference.get_last_lr()[0], cosine(epoch, 50, 3.5e-4, 1e-6), rel_tol=1e-9)
        optimizer.step()
        reference.step()
