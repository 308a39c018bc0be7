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
from tokenmatcher.training.resuming import bring_over, checkpoint_to_resume, take_up

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


def go_on(run, path):
    take_up(run, path)
    bring_over(run, path)


def test_later_stages_start_from_what_the_run_has_trained(tmp_path, labelled):
    """Also where it went on, in the middle of stage 1, from a checkpoint of elsewhere."""
    recipe = RUN_RECIPE.override({"epochs": (2, 1)})
    first = small_trainer(tmp_path / "first", COUNT, recipe=RUN_RECIPE)
    first.train(["1"])
    there = tmp_path / "first/stage1/last.pt"
    again = small_trainer(tmp_path / "again", COUNT, recipe=recipe)
    go_on(again, there)
    again.train(["1"])
    own = torch.load(tmp_path / "again/stage1/last.pt", weights_only=True)["model"]
    begun = again.start.of(again.stages[-1])
    assert all(torch.equal(own[name], begun[name]) for name in own)
    straight = small_trainer(tmp_path / "straight", COUNT, recipe=recipe)
    go_on(straight, there)
    begun, old = straight.start.of(straight.stages[-1]), torch.load(there, weights_only=True)["model"]
    assert all(torch.equal(old[name], begun[name]) for name in old)


class Scored:
    """A test of given scores: mAP by number, rank-1 and the other protocol the other way round.

    Attributes:
        seen: the weights that were tested.
    """

    def __init__(self, values):
        self.values, self.seen = list(values), []

    def __call__(self, network):
        value = self.values[len(self.seen)]
        self.seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return {"all": {"mAP": value, "rank1": 1 - value}, "indoor": {"mAP": 1 - value, "rank1": value}}


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def model_in(path):
    return torch.load(path, weights_only=True)["model"]


def scored_run(folder, values, schedule):
    run = small_trainer(folder, COUNT, recipe=RUN_RECIPE.override({"eval_start": 0, "eval_every": 1, **schedule}))
    run.evaluate = Scored(values)
    return run


@pytest.mark.parametrize(
    ("start", "every", "asked"), [(0, 1, [0, 1, 2, 3, 4]), (2, 1, [2, 3, 4]), (0, 3, [0, 3, 4]), (100, 1, [4])]
)
def test_which_epochs_are_tested(tmp_path, labelled, start, every, asked):
    """From the first on, each so many, and the last always."""
    run = scored_run(tmp_path, [0.5] * 5, {"epochs": (5, 1), "iters": (1, 1), "eval_start": start, "eval_every": every})
    run.train(["1"])
    assert [line["epoch"] for line in lines_of(run) if "scores" in line] == asked


def test_the_best_epoch_is_kept(tmp_path, labelled):
    """Of equals the first; by the stage's own score of the first protocol: mAP in stage 1, rank-1 in stage 2."""
    values = [0.2, 0.5, 0.5, 0.3, 0.2, 0.5, 0.3]
    run = scored_run(tmp_path, values, {"epochs": (4, 3)})
    run.train(["1", "2"])
    seen = run.evaluate.seen
    assert len(seen) == 7 and not same(seen[1], seen[2])
    assert same(model_in(tmp_path / "stage1/best.pt"), seen[1]) and same(model_in(tmp_path / "stage1/last.pt"), seen[3])
    assert same(model_in(tmp_path / "stage2/best.pt"), seen[4]) and same(model_in(tmp_path / "stage2/last.pt"), seen[6])


@pytest.mark.parametrize(("which", "place"), [("best", 0), ("last", 1)])
def test_later_stages_start_from_the_epoch_asked_for(tmp_path, labelled, which, place):
    """Also where stage 1 was trained elsewhere."""
    run = scored_run(tmp_path / "one", [0.5, 0.2, 0.1], {"epochs": (2, 1), "stage2_start": which})
    run.train(["1"])
    expected = run.evaluate.seen[place]
    assert {stage.start for stage in run.stages[1:]} == {("1", which)}
    assert all(same(run.start.of(stage), expected) for stage in run.stages[1:])
    again = small_trainer(tmp_path / "two", COUNT, recipe=run.method.recipe)
    go_on(again, tmp_path / "one/stage1/last.pt")
    assert same(again.start.of(again.stages[-1]), expected)


def test_a_best_epoch_that_is_not_there_is_named(tmp_path, labelled):
    small_trainer(tmp_path / "one", COUNT).train(["1"])  # nothing is tested
    again = small_trainer(tmp_path / "two", COUNT, recipe=RUN_RECIPE.override({"stage2_start": "best"}))
    with pytest.raises(UserError, match=r"one/stage1/best\.pt: no such file; later stages start from"):
        go_on(again, tmp_path / "one/stage1/last.pt")
    assert not list(tmp_path.glob("two/*/*.pt"))
    own = small_trainer(tmp_path / "one", COUNT, recipe=again.method.recipe)
    with pytest.raises(UserError, match=r"one/stage1/best\.pt: no such file; later stages start from"):
        own.start.of(own.stages[-1])


def test_a_run_that_goes_on_elsewhere_is_whole_there(tmp_path, labelled):
    """Before its first step: what `auto` takes up, and the best epoch so far. Of a checkpoint that was moved away from
    its best epoch, that of the epochs to come counts."""
    scored_run(tmp_path / "one", [0.9], {"epochs": (1, 1)}).train(["1"])
    there = tmp_path / "one/stage1/last.pt"
    lone = tmp_path / "moved.pt"
    lone.write_bytes(there.read_bytes())
    for path, name in ((there, "two"), (lone, "three")):
        again = scored_run(tmp_path / name, [0.3, 0.2], {"epochs": (3, 1)})
        go_on(again, path)
        own = tmp_path / name / "stage1/last.pt"
        straight = scored_run(tmp_path / name, [], {"epochs": (3, 1)})
        assert checkpoint_to_resume("auto", tmp_path / name, ["1", "camera", "2"], ["1"]) == (own, [])
        take_up(straight, own)
        assert (straight.position.epoch, straight.records) == (1, 0)
        assert same(straight.network.state_dict(), model_in(there))
        again.train(["1"])
        best = model_in(tmp_path / name / "stage1/best.pt")
        assert same(best, model_in(tmp_path / "one/stage1/best.pt") if name == "two" else again.evaluate.seen[0])
