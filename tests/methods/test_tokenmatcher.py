"""TokenMatcher's stages: batches, rates, tests, and what an epoch of stage 2 minimises."""

import math

import numpy as np
import pytest
import torch
from small import RUN_RECIPE, small_trainer

from tokenmatcher.contracts import EpochRecord, Modality, PseudoLabels
from tokenmatcher.methods import labelling
from tokenmatcher.presets import preset

VIS, INF = Modality.VISIBLE, Modality.INFRARED
COUNT = dict.fromkeys(Modality, 24)


@pytest.fixture
def method(tmp_path):
    return small_trainer(tmp_path, COUNT).method


def test_what_batches_are_made_of(method):
    """By the paper's numbers: 128 images of each modality, visible ones twice, 16 of a person."""
    method.recipe = preset("sysu", "paper")
    first, *cameras, second = method.stages()
    for stage in (first, second):
        assert {m: stage.batching.images(m) for m in Modality} == {VIS: 128, INF: 128}
        assert stage.batching.identities == {VIS: 4, INF: 8} and stage.batching.instances == 16
        assert stage.batching.jitter_infrared is None and (stage.batching.iters, stage.epochs) == (200, 50)
    assert [stage.batching.other_cameras for stage in (first, second)] == [True, False]
    assert [stage.batching.jitter_plain for stage in (first, second)] == [False, True]
    assert [(stage.modality, stage.camera) for stage in cameras] == [(VIS, n) for n in (1, 2, 4, 5)] + [
        (INF, n) for n in (3, 6)
    ]
    for stage in cameras:
        assert stage.batching.images(stage.modality) == 128 and stage.batching.instances == 16
        assert stage.batching.jitter_plain and not stage.batching.other_cameras
        assert stage.batching.iters == 50
    method.recipe = preset("regdb", "paper")
    assert method.stages()[0].batching.jitter_plain


def test_by_what_stages_are_tested_and_from_what_they_start(method):
    first, *cameras, second = method.stages()
    assert [first.tested_by, second.tested_by] == ["mAP", "rank1"] and not any(one.tested_by for one in cameras)
    assert first.start is None and {one.start for one in (*cameras, second)} == {("1", "last")}
    assert [first.keeps_weights, cameras[0].keeps_weights, second.keeps_weights] == [True, False, True]
    method.recipe = RUN_RECIPE.override({"stage2_start": "best"})
    assert {one.start for one in method.stages()[1:]} == {("1", "best")}


def test_learning_rates(method):
    """Cosines over 50 epochs; a camera's ends early."""
    method.recipe = preset("sysu", "paper")
    first, *cameras, second = method.stages()
    for stages, highest, lowest in (([first, *cameras], 3.5e-4, 1e-6), ([second], 3.5e-5, 1e-7)):
        for stage in stages:
            expected = [lowest + (highest - lowest) * (1 + math.cos(math.pi * e / 50)) / 2 for e in range(stage.epochs)]
            assert [stage.rate(e) for e in range(stage.epochs)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("epoch", "across", "fusion"), [(0, (VIS, INF), 0.03), (35, (INF, VIS), 0.03), (36, (VIS, INF), 0.12)]
)
def test_what_an_epoch_of_stage_two_minimises(tmp_path, monkeypatch, epoch, across, fusion):
    """Neighbours across modalities by its parity, the late weight of fusion after the 35th, by the recipe's numbers."""
    monkeypatch.setattr(labelling, "pseudo_labels", lambda features, **_: PseudoLabels(np.arange(len(features)) // 4))
    stage = small_trainer(tmp_path, COUNT).stages[-1]
    torch.manual_seed(0)
    features = {m: torch.randn(24, 64) for m in Modality}
    objective = stage.prepare(epoch, features, EpochRecord(stage.place, epoch, 50)).objective
    assert set(objective.neighbours) == {(VIS, VIS), (INF, INF), across}
    assert objective.weights == {
        "visible": 1.0, "infrared": 1.0, "diversity": 1.0, "neighbour": 0.5, "cross": 0.4, "fusion": fusion,
    }  # fmt: skip
    assert [memory.momentum for memory in objective.all_memories()] == [0.8, 0.8, 0.2]


def test_stage_two_drops_what_the_camera_stage_told_apart(tmp_path, monkeypatch):
    """In its own images' neighbours alone, by the cameras that the data set names."""
    monkeypatch.setattr(labelling, "pseudo_labels", lambda features, **_: PseudoLabels(np.arange(len(features)) // 4))
    cameras = {VIS: np.ones(24, dtype=int), INF: np.full(24, 3)}
    run = small_trainer(tmp_path, COUNT, cameras=cameras, recipe=RUN_RECIPE.override({"votes": 1}))
    stage = run.stages[-1]
    torch.manual_seed(0)
    features = {m: torch.randn(24, 64) + 1 for m in Modality}

    def neighbours(epoch=0):
        return stage.prepare(epoch, features, EpochRecord(stage.place, epoch, 50)).objective.neighbours

    before = neighbours()
    assert all(before[m, m].num_edges > 2 * 24 for m in Modality), "there is something to drop"
    run.method.local.labels = {m: np.arange(24) // 2 for m in Modality}
    after = neighbours()
    for m in Modality:
        for image in range(24):
            kept = [other for other in before[m, m].row(image) if other // 2 == image // 2]
            assert after[m, m].row(image).tolist() == kept
    assert after[VIS, INF].indices.tolist() == before[VIS, INF].indices.tolist()
