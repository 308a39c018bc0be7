"""What an epoch's line says about the search for neighbours."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small import RUN_RECIPE, small_run

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.training import stages


@pytest.mark.parametrize(
    ("search", "device", "told"), [("approximate", "cuda", 1), ("approximate", "cpu", 0), ("exact", "cuda", 0)]
)
def test_a_run_on_a_gpu_says_that_its_search_is_not_there(tmp_path, monkeypatch, search, device, told):
    recipe = replace(RUN_RECIPE, clusters=replace(RUN_RECIPE.clusters, neighbour_search=search))
    run = small_run(tmp_path, dict.fromkeys(Modality, 48), recipe=recipe)
    run.device = torch.device(device)
    monkeypatch.setattr(stages, "reason_for_cpu", lambda features: "for a reason")
    labels = PseudoLabels(np.arange(48) // 4)
    notes = stages._notes(run, "2", torch.ones(48, 2), labels, Modality.VISIBLE)
    assert [note for note in notes if "search" in note] == [
        "visible: neighbours searched on the CPU, for a reason"
    ] * told
    monkeypatch.setattr(stages, "reason_for_cpu", lambda features: "")
    assert not [
        note for note in stages._notes(run, "2", torch.ones(48, 2), labels, Modality.VISIBLE) if "search" in note
    ]
