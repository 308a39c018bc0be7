import math
from dataclasses import replace

import pytest
import torch

from tokenmatcher.recipe import ScheduleConfig
from tokenmatcher.schedules import cosine, rate_of, stepped


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


def test_steps():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=3.5e-4)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, [20, 40])
    for epoch in range(50):
        assert math.isclose(reference.get_last_lr()[0], stepped(epoch, 3.5e-4, (20, 40)), rel_tol=1e-9)
        optimizer.step()
        reference.step()


def test_a_recipe_says_which():
    schedule = ScheduleConfig(epochs=(30, 20), lr=(1.0, 2.0), lr_min=(0.0, 0.5))
    assert rate_of(schedule, 1, 10) == cosine(10, 20, 2.0, 0.5)
    steps = replace(schedule, decay="steps")
    assert [rate_of(steps, 0, epoch) for epoch in (19, 20, 29)] == pytest.approx([1.0, 0.1, 0.1])
    assert [rate_of(steps, 1, epoch, before=30) for epoch in (9, 10)] == pytest.approx([0.2, 0.02])
