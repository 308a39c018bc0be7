from dataclasses import replace

import numpy as np
import pytest
import torch
from small import RUN_RECIPE, lines_of, said_by, small_trainer

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.errors import UserError
from tokenmatcher.images.sets import listing_of
from tokenmatcher.images.store import ImageStore
from tokenmatcher.listeners import Listener
from tokenmatcher.methods import labelling
from tokenmatcher.methods.camera import OneCamera
from tokenmatcher.models.digest import DIGEST, digest_of
from tokenmatcher.training import trainer as module
from tokenmatcher.training.checkpoint import RunFolder
from tokenmatcher.training.resuming import take_up

COUNT = dict.fromkeys(Modality, 24)
FOUND = PseudoLabels(np.arange(24) // 4)


@pytest.fixture
def labelled(monkeypatch):
    monkeypatch.setattr(labelling, "pseudo_labels", lambda features, **_: FOUND)


def test_clustering_sees_the_pictures_made_for_it(tmp_path):
    trainer = small_trainer(tmp_path, dict.fromkeys(Modality, 8))
    stage = trainer.stages[0]
    trained_on = trainer._features(stage, 0)[Modality.VISIBLE]
    black = ImageStore(torch.zeros_like(trainer.images[Modality.VISIBLE].store.images))
    trainer.images[Modality.VISIBLE] = replace(trainer.images[Modality.VISIBLE], cluster_store=black)
    clustered = trainer._features(stage, 0)[Modality.VISIBLE]
    assert (clustered == clustered[0]).all()
    assert not torch.equal(clustered, trained_on)


CAMERAS_OF_24 = {Modality.VISIBLE: np.resize((1, 2, 4, 5), 24), Modality.INFRARED: np.resize((3, 6), 24)}


def test_what_stage_ones_weights_say_is_asked_once(tmp_path, monkeypatch, labelled):
    """By the first epochs of all cameras and of stage 2 together."""
    asked = []
    real = module.extract

    def counting(embedder, store, machine, **options):
        index = options.get("index")
        asked.append((embedder.modality, "all" if index is None else len(index)))
        return real(embedder, store, machine, **options)

    monkeypatch.setattr(module, "extract", counting)
    monkeypatch.setattr(OneCamera, "_label", lambda _, features: (PseudoLabels(np.arange(len(features)) // 2), 0.5))
    recipe = RUN_RECIPE.override({"camera_epochs_visible": 2})
    trainer = small_trainer(tmp_path, COUNT, cameras=CAMERAS_OF_24, recipe=recipe)
    trainer.train(["1", "camera", "2"])
    visible, infrared = ((m, "all") for m in Modality)
    second_epochs = [(Modality.VISIBLE, 6)] * 4  # of four cameras
    assert asked == [visible, infrared, visible, *second_epochs, infrared]
    assert not trainer._at_start


def test_features_of_other_weights_are_forgotten(tmp_path):
    trainer = small_trainer(tmp_path, dict.fromkeys(Modality, 8))
    weights = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    camera = trainer.stages[1]
    trainer._begin_with(weights)
    trainer._features(camera, 0)
    kept = trainer._at_start[Modality.VISIBLE]
    trainer._begin_with({name: value.clone() for name, value in weights.items()})
    assert trainer._at_start[Modality.VISIBLE] is kept
    trainer._begin_with({**weights, "vit.norm.bias": weights["vit.norm.bias"] + 1})
    trainer._features(camera, 0)
    assert not torch.equal(trainer._at_start[Modality.VISIBLE], kept)


class Told(Listener):
    def __init__(self):
        self.said = []

    def on_step(self, record, step, terms):
        self.said.append((dict(record.place), record.epoch, step, sorted(terms)))

    def on_epoch(self, record):
        self.said.append(record)

    def on_end(self):
        self.said.append("end")


def test_listeners_are_told_of_everything(tmp_path, labelled):
    trainer, told = small_trainer(tmp_path, COUNT), Told()
    trainer.listeners = [*trainer.listeners, told]
    trainer.train(["1"])
    *steps, record, end = told.said
    assert [said[:3] for said in steps] == [({"stage": "1"}, 0, 0), ({"stage": "1"}, 0, 1)]
    assert {"visible", "infrared", "diversity", "total"} <= set(steps[0][3])
    assert end == "end"
    assert set(record.seconds) == {"extract", "cluster", "mine", "train"}
    assert record.to_dict()["losses"] == pytest.approx(lines_of(trainer)[0]["losses"], abs=1e-6)  # the log's rounding
    assert set(record.losses) == {"visible", "infrared", "diversity", "total"}
    assert record.gradient > 0
    assert record.images_per_second > 0


@pytest.mark.parametrize(("bad", "steps"), [(0, 1), (2, 12), (9, 10), (10, 12)])
def test_a_loss_that_is_not_finite_stops_and_is_named(tmp_path, monkeypatch, labelled, bad, steps):
    trainer = small_trainer(tmp_path, COUNT, recipe=RUN_RECIPE.override({"iters": (steps, 1)}))
    real, done = module.train_step, []

    def spoilt(model, objective, batch, *others):
        if len(done) == bad:
            batch.images[Modality.INFRARED][0] = float("nan")
        done.append(1)
        return real(model, objective, batch, *others)

    monkeypatch.setattr(module, "train_step", spoilt)
    with pytest.raises(UserError, match=rf"loss .*infrared.* is not finite at step {bad + 1},") as caught:
        trainer.train(["1"])
    assert "A lower --lr usually helps; --resume auto" in caught.value.worded(lambda name: f"--{name}")
    assert not list(tmp_path.rglob("*.pt"))


def test_another_matcher_is_told(tmp_path, labelled):
    first = small_trainer(tmp_path / "first", COUNT)
    first.folder = replace(first.folder, matcher="greedy")
    first.train(["1"])
    path = tmp_path / "first/stage1/last.pt"
    for matcher, said in (("greedy", []), ("mutual", ["matcher mutual instead of greedy"])):
        again = small_trainer(tmp_path / matcher, COUNT)
        again.folder = replace(again.folder, matcher=matcher)
        assert take_up(again, path) == [f"note: since that checkpoint changed: {one}" for one in said]
    content = torch.load(path, weights_only=True)
    del content["matcher"], content[DIGEST]
    torch.save({**content, DIGEST: digest_of(content)}, path)  # as before: it does not say
    assert take_up(again, path) == []


class Stopped(Listener):
    def on_step(self, record, step, terms):
        if step == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("matcher", "again"), [("greedy", False), ("mutual", True)])
def test_a_save_within_an_epoch_is_its_matchers(tmp_path, labelled, matcher, again):
    recipe = RUN_RECIPE.override({"iters": (3, 2)})
    first, second = (small_trainer(tmp_path, COUNT, recipe=recipe) for _ in range(2))
    first.folder, first.save_minutes = replace(first.folder, matcher="greedy"), 0.0
    first.listeners = [Stopped()]
    with pytest.raises(KeyboardInterrupt):
        first.train(["1"])
    assert (tmp_path / "stage1/midway.pt").is_file()
    second.folder = replace(second.folder, matcher=matcher)
    second.train(["1"])
    assert ("of other flags or other labels; the epoch starts again" in said_by(second)) == again


def changed(images, **parts):
    return {m: replace(own, **{name: change(getattr(own, name)) for name, change in parts.items()})
            for m, own in images.items()}  # fmt: skip


def test_other_images_are_refused(tmp_path, labelled):
    """Also as many: labels of the camera stage are kept by row."""
    small_trainer(tmp_path / "first", COUNT).train(["1"])
    path = tmp_path / "first/stage1/last.pt"
    again = small_trainer(tmp_path / "again", COUNT)  # the same names in another folder
    assert take_up(again, path) == []
    images = again.images
    again.listing = listing_of(changed(images, cameras=lambda own: own * 2))  # a camera more, numbered before them
    assert take_up(again, path) == []
    for parts in (
        {"paths": lambda own: own[::-1]},
        {"paths": lambda own: (tmp_path / "other.jpg", *own[1:])},
        {"cameras": lambda own: np.roll(own, 1)},
    ):
        again.listing = listing_of(changed(images, **parts))
        with pytest.raises(UserError, match=r"last\.pt: was trained on images of other names or cameras, or on these"):
            take_up(again, path)
    content = torch.load(path, weights_only=True)
    del content["run"]["listing"], content[DIGEST]
    torch.save({**content, DIGEST: digest_of(content)}, path)  # as before: counts alone
    assert take_up(again, path) == []


def test_later_stages_start_from_what_the_run_has_trained(tmp_path, labelled):
    """Also where it went on, in the middle of stage 1, from a checkpoint of elsewhere."""
    recipe = RUN_RECIPE.override({"epochs": (2, 1)})
    first = small_trainer(tmp_path / "first", COUNT, recipe=RUN_RECIPE)
    first.train(["1"])
    there = tmp_path / "first/stage1/last.pt"
    again = small_trainer(tmp_path / "again", COUNT, recipe=recipe)
    take_up(again, there)
    again.folder = RunFolder(tmp_path / "again", "tokenmatcher", "sysu", None, recipe)
    assert again.start.elsewhere == there
    again.train(["1"])
    own = torch.load(tmp_path / "again/stage1/last.pt", weights_only=True)["model"]
    begun = again.start.of(again.stages[-1])
    assert all(torch.equal(own[name], begun[name]) for name in own)
    straight = small_trainer(tmp_path / "straight", COUNT, recipe=recipe)
    take_up(straight, there)
    begun, old = straight.start.of(straight.stages[-1]), torch.load(there, weights_only=True)["model"]
    assert all(torch.equal(old[name], begun[name]) for name in old)
