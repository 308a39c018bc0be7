"""The camera stage: which labelling of a camera is kept, and by what radius it is made."""

import numpy as np
import pytest
import torch
from small import RUN_RECIPE, small_trainer

from tokenmatcher.contracts import EpochRecord, Modality, PseudoLabels
from tokenmatcher.datasets import find_dataset
from tokenmatcher.errors import UserError
from tokenmatcher.methods.camera import eps_within

VIS, INF = Modality.VISIBLE, Modality.INFRARED
CAMERAS = {VIS: np.resize((1, 2), 16), INF: np.full(16, 3)}
ONE, TWO, THREE = (np.arange(8) // people for people in (4, 3, 2))


def camera_stages(folder, recipe=RUN_RECIPE):
    run = small_trainer(folder, dict.fromkeys(Modality, 16), cameras=CAMERAS, recipe=recipe)
    return run.method, run.stages[1:-1]


def offer(stage, labellings):
    """An epoch for each labelling and its silhouette."""
    for epoch, (labels, score) in enumerate(labellings):
        stage._label = lambda _, labels=labels, score=score: (PseudoLabels(labels), score)
        stage.prepare(epoch, {stage.modality: torch.ones(8, 64)}, EpochRecord(stage.place, epoch, len(labellings)))


def test_the_labelling_with_the_best_silhouette_is_kept(tmp_path):
    method, (first, second, _) = camera_stages(tmp_path)
    offer(first, [(ONE, 0.2), (TWO, 0.5), (THREE, 0.3)])
    offer(second, [(THREE, -0.9), (ONE, -0.9)])  # a camera's scores are its own; of equals the first
    kept = method.local.labels[VIS]
    assert kept[CAMERAS[VIS] == 1].tolist() == TWO.tolist()
    assert kept[CAMERAS[VIS] == 2].tolist() == THREE.tolist()
    assert (method.local.labels[INF] == -1).all()
    offer(first, [(ONE, 0.1)])  # the first camera begins anew
    assert method.local.labels[VIS][CAMERAS[VIS] == 1].tolist() == ONE.tolist()
    assert (method.local.labels[VIS][CAMERAS[VIS] == 2] == -1).all()


def test_early_labellings_may_not_be_kept(tmp_path):
    later = {"camera_keep_from": 1, "camera_epochs_visible": 3, "camera_epochs_infrared": 3}
    method, (first, *_) = camera_stages(tmp_path, RUN_RECIPE.override(later))
    offer(first, [(ONE, 0.9)])
    assert (method.local.labels[VIS] == -1).all()
    offer(first, [(ONE, 0.9), (TWO, 0.2), (THREE, 0.1)])
    assert method.local.labels[VIS][CAMERAS[VIS] == 1].tolist() == TWO.tolist()


def test_each_camera_has_its_own_radius():
    dataset, values = find_dataset("sysu"), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert [eps_within(camera, values, dataset) for camera in range(1, 7)] == list(values)
    assert [eps_within(camera, (0.7,), dataset) for camera in range(1, 7)] == [0.7] * 6
    with pytest.raises(UserError, match="takes one value or 6, of cameras 1 to 6; got 2"):
        eps_within(1, (0.1, 0.2), dataset)


def test_the_radius_reaches_the_clustering(tmp_path):
    _, stages = camera_stages(tmp_path, RUN_RECIPE.override({"camera_eps": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}))
    assert {stage.camera: stage.eps for stage in stages} == {1: 0.1, 2: 0.2, 3: 0.3}
