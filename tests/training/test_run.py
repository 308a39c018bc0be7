from dataclasses import replace

import numpy as np
import torch
from small import RUN_RECIPE, small_run

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.images.store import ImageStore
from tokenmatcher.training import camera_stage, stages
from tokenmatcher.training import run as module
from tokenmatcher.training.stages import train


def test_clustering_sees_the_pictures_made_for_it(tmp_path):
    run = small_run(tmp_path, dict.fromkeys(Modality, 8))
    trained_on = run.extract(Modality.VISIBLE)
    black = ImageStore(torch.zeros_like(run.sets[Modality.VISIBLE].store.images))
    run.sets[Modality.VISIBLE] = replace(run.sets[Modality.VISIBLE], cluster_store=black)
    clustered = run.extract(Modality.VISIBLE)
    assert (clustered == clustered[0]).all()
    assert not torch.equal(clustered, trained_on)


CAMERAS_OF_24 = {Modality.VISIBLE: np.resize((1, 2, 4, 5), 24), Modality.INFRARED: np.resize((3, 6, 7, 8), 24)}


def test_what_stage_ones_weights_say_is_asked_once(tmp_path, monkeypatch):
    """By the first epochs of all cameras and of stage 2 together."""
    asked = []
    real = module.extract

    def counting(model, store, modality, **options):
        asked.append((modality, "all" if options["index"] is None else len(options["index"])))
        return real(model, store, modality, **options)

    monkeypatch.setattr(module, "extract", counting)
    monkeypatch.setattr(stages, "pseudo_labels", lambda features, **_: PseudoLabels(np.arange(len(features)) // 4))
    found = PseudoLabels(np.arange(6) // 2), 0.5
    monkeypatch.setattr(camera_stage, "_label", lambda *_: found)
    recipe = RUN_RECIPE.override({"camera_epochs_visible": 2})
    run = small_run(tmp_path, dict.fromkeys(Modality, 24), cameras=CAMERAS_OF_24, recipe=recipe)
    train(run, ["1", "camera", "2"])
    visible, infrared = ((m, "all") for m in Modality)
    second_epochs = [(Modality.VISIBLE, 6)] * 4  # of four cameras
    assert asked == [visible, infrared, visible, *second_epochs, infrared]
    assert not run.start_features


def test_features_of_other_weights_are_forgotten(tmp_path):
    run = small_run(tmp_path, dict.fromkeys(Modality, 8))
    weights = {name: value.clone() for name, value in run.model.state_dict().items()}
    kept = run.at_start(Modality.VISIBLE)
    run.begin_with(weights)
    assert run.at_start(Modality.VISIBLE) is kept
    run.begin_with({**weights, "vit.norm.bias": weights["vit.norm.bias"] + 1})
    assert not torch.equal(run.at_start(Modality.VISIBLE), kept)
