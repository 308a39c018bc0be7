"""Devices, precision, random numbers."""

import os

import numpy as np
import pytest
import torch

from tokenmatcher import machine
from tokenmatcher.machine import Machine, Randomness, make_deterministic, to_device


def test_all_random_numbers_can_be_gone_back_to():
    random = Randomness(5)
    random.order.random(3)
    state = random.state()
    first = random.order.random(), torch.rand(2, generator=random.pixels), torch.rand(2)
    random.restore(state)
    again = random.order.random(), torch.rand(2, generator=random.pixels), torch.rand(2)
    assert first[0] == again[0]
    assert all(torch.equal(a, b) for a, b in zip(first[1:], again[1:], strict=True))


def test_precision(monkeypatch):
    cpu = torch.device("cpu")
    assert Machine.chosen("cpu") == Machine(cpu, "fp32")
    monkeypatch.setattr(machine, "choose_device", lambda *_: torch.device("cuda", 0))
    assert Machine.chosen().precision == "bf16"
    assert Machine.chosen(precision="fp32").precision == "fp32"
    a = torch.ones(2, 2)
    with Machine(cpu, "fp32").autocast():
        assert (a @ a).dtype == torch.float32
    with Machine(cpu, "bf16").autocast():
        assert (a @ a).dtype == torch.bfloat16


def test_values_on_a_device():
    values = np.arange(6)
    for given in (values, torch.from_numpy(values)):
        assert torch.equal(to_device(given, torch.device("cpu")), torch.arange(6))


@pytest.mark.gpu
def test_values_on_a_gpu_come_without_waiting():
    device, large = torch.device("cuda", 0), torch.arange(1 << 20)
    torch.cuda.set_sync_debug_mode("error")
    try:
        copies = [to_device(large, device), to_device(large.numpy(), device), to_device(large[:0], device)]
        copies.append(to_device(copies[0], device))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [len(copy) for copy in copies] == [len(large), len(large), 0, len(large)]
    assert all(torch.equal(copy.cpu(), large[: len(copy)]) for copy in copies)


def test_deterministic_is_pytorchs_own_switch(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        make_deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
