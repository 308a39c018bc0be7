"""What an epoch's line says about the search for neighbours."""

from dataclasses import replace

import pytest
import torch

from tokenmatcher.contracts import Modality
from tokenmatcher.machine import Machine
from tokenmatcher.methods import labelling
from tokenmatcher.recipe import ClusterConfig


@pytest.mark.parametrize(
    ("search", "device", "told"), [("approximate", "cuda", 1), ("approximate", "cpu", 0), ("exact", "cuda", 0)]
)
def test_a_run_on_a_gpu_says_that_its_search_is_not_there(monkeypatch, search, device, told):
    config, machine = replace(ClusterConfig(), neighbour_search=search), Machine(torch.device(device))
    monkeypatch.setattr(labelling, "reason_for_cpu", lambda features: "for a reason")
    notes = labelling.note_on_search(torch.ones(48, 2), Modality.VISIBLE, config, machine)
    assert notes == ["visible: neighbours searched on the CPU, for a reason"] * told
    monkeypatch.setattr(labelling, "reason_for_cpu", lambda features: "")
    assert labelling.note_on_search(torch.ones(48, 2), Modality.VISIBLE, config, machine) == []
