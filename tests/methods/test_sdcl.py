"""SDCL's epochs: labels, association, degenerate clusterings, and going on from where a run stopped."""

import numpy as np
import pytest
import torch
from rounding import product
from small import lines_of, said_by, small_trainer

from tokenmatcher.contracts import EpochRecord, Modality, PseudoLabels
from tokenmatcher.errors import UserError
from tokenmatcher.methods import labelling
from tokenmatcher.methods import sdcl as module
from tokenmatcher.methods.sdcl import SDCL, Together, branches, clustered
from tokenmatcher.presets import preset
from tokenmatcher.training import checkpoint, trainer
from tokenmatcher.training.midway import MIDWAY
from tokenmatcher.training.resuming import take_up

VIS, INF = Modality.VISIBLE, Modality.INFRARED
COUNT = dict.fromkeys(Modality, 24)
RECIPE = preset("sysu", "demo", "sdcl").override(
    {
        "height": 32, "width": 16, "patch_size": 8, "stem_channels": 4, "embed_dim": 16, "depth": 2, "num_heads": 2,
        "batch_size": 16, "num_instances": 4, "epochs": (2, 2), "iters": (3, 3), "k1": 3, "k2": 2, "k1_visible": 3,
        "min_samples": 1, "eps": 0.5, "across_from": 1, "match_ranked": 5, "optimizer": "sgd",
    }
)  # fmt: skip
SHORT = RECIPE.override({"epochs": (1, 1), "iters": (2, 2)})
STAGES = ["1", "2"]
PLAIN = np.repeat(np.arange(6), 4).tolist()


def begin(folder, count=COUNT, recipe=RECIPE, **options):
    return small_trainer(folder, count, recipe=recipe, kind=SDCL, matcher=None, **options)


def labelled(monkeypatch, visible, infrared):
    """Whatever the features are, these are the labels; lists of them: of one epoch after the other."""
    waiting = []
    epochs = [iter(one) for one in (visible, infrared)] if isinstance(visible[0], list) else None

    def labels(_features, **_options):
        if not waiting:
            waiting.extend([next(one) for one in epochs] if epochs else [visible, infrared])
        return PseudoLabels(np.array(waiting.pop(0)))

    monkeypatch.setattr(labelling, "pseudo_labels", labels)
    first = (visible[0], infrared[0]) if epochs else (visible, infrared)
    return {m: len(own) for m, own in zip((VIS, INF), first, strict=True)}


def entries(run):
    lines = lines_of(run)
    assert all(np.isfinite(value) for line in lines for value in line.get("losses", {}).values())
    for line in lines:
        line.pop("seconds"), line.pop("images_per_second", None)
    return lines


def same_weights(one, other):
    a, b = one.network.state_dict(), other.network.state_dict()
    return all(torch.equal(value, b[key]) for key, value in a.items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of both stages that nothing interrupts."""
    torch.manual_seed(0)
    run = begin(tmp_path_factory.mktemp("whole"))
    run.train(STAGES)
    return run


@pytest.mark.parametrize("k", [20, 10])
@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_golden_association(golden, tmp_path, monkeypatch, case, k):
    """From features to what is trained on, through `Together.prepare`."""
    data = golden("sdcl_association")
    features = {
        m: torch.tensor(np.concatenate([data[f"{case}_{branch}_{short}"] for branch in ("deep", "shallow")], axis=1))
        for m, short in ((VIS, "rgb"), (INF, "ir"))
    }
    own, infrared = (data[f"{case}_{name}"] for name in ("own_labels_rgb", "labels_ir"))
    # The vectors' own labels may have gaps, which no clustering leaves.
    own = np.where(own < 0, -1, np.unique(own, return_inverse=True)[1] - (own.min() < 0))
    count = labelled(monkeypatch, own.tolist(), infrared.tolist())
    run = begin(tmp_path, count, RECIPE.override({"match_ranked": k, "momentum": 0.1, "momentum_first": 0.99}))
    stage = run.stages[1]
    assert isinstance(stage, Together)
    record = EpochRecord(stage.place, 0, 2)
    prepared = stage.prepare(0, features, record)
    key = f"{case}_k{k}_"
    assert np.flatnonzero(prepared.labels[VIS] >= 0).tolist() == data[f"{key}train_rgb"].tolist()
    assert np.flatnonzero(prepared.labels[INF] >= 0).tolist() == data[f"{key}train_ir"].tolist()
    kept = data[f"{key}train_rgb"]
    assert prepared.labels[VIS][kept].tolist() == data[f"{key}labels_rgb"][kept].tolist()
    memories = prepared.objective.memories
    assert memories[VIS] is memories[INF]
    assert {memory.momentum for memory in memories[VIS]} == {0.1}, "the first epoch of the run is stage 1's"
    assert prepared.objective.weights["vis-vis_deep"] == 0.1, "stage 2's"
    for memory, branch in zip(memories[VIS], ("deep", "shallow"), strict=True):
        np.testing.assert_allclose(memory.vectors, data[f"{key}memory_{branch}"], rtol=0, atol=4 * product(32))
    assert record.facts["association"]["trained"] == pytest.approx(len(kept) / len(own))


def test_the_shared_memory_is_the_slow_mean():
    """Of raw features, by all images that belong to a cluster, whatever the visible clustering says."""
    rng = np.random.default_rng(0)
    found, infrared = np.array([1, 0, -1, 1]), np.array([0, 1, 1, -1])
    own = PseudoLabels(np.array([-1, 0, 0, 0]))
    assert clustered(found, own).tolist() == [-1, 0, -1, 1]
    x, y = (torch.from_numpy(rng.standard_normal((4, 6))).float() for _ in range(2))
    deep, shallow = branches(x)
    assert torch.equal(torch.cat([deep, shallow], 1), x) and deep.shape == (4, 3)
    expected = {0: [y[0], x[1]], 1: [y[1], y[2], x[0], x[3]]}
    together = PseudoLabels(np.concatenate([infrared, found]))
    memory = module.centroids(torch.cat([y, x])[:, :3], together)
    for cluster, rows in expected.items():
        mean = torch.stack(rows)[:, :3].mean(0)
        torch.testing.assert_close(memory[cluster], mean / mean.norm(), rtol=0, atol=4 * product(3))


def test_both_stages_and_what_the_log_says(whole):
    lines = entries(whole)
    own = {f"{m}_{branch}" for m in Modality for branch in ("deep", "shallow")}

    def terms(*ways):
        return own | {f"{way}_{branch}" for way in ways for branch in ("deep", "shallow")} | {"total"}

    within = ("vis-vis", "inf-inf")
    assert [set(line["losses"]) for line in lines] == [
        terms(*within), terms(*within, "inf-vis"), terms(*within, "vis-inf"), terms(*within, "inf-vis"),
    ]  # fmt: skip
    assert [set(line["neighbours"]) for line in lines][1] == {*within, "inf-vis"}
    assert "association" not in lines[0]
    for line in lines[2:]:
        assert {"trained", "right", "clusters_without"} == set(line["association"])
        assert {"right", "matchable", "associated", "ratio"} <= set(line["match"])


def test_a_batch_is_two_groups_of_the_published_make_up(tmp_path):
    """128 infrared images and 128 visible ones, each twice."""
    recipe = preset("sysu", "paper", "sdcl")
    run = begin(tmp_path)
    run.method.recipe = recipe
    batching = module.Separate(run.method).batching
    assert {m: batching.images(m) for m in Modality} == {VIS: 256, INF: 128}
    assert batching.identities == {VIS: 8, INF: 8} and batching.instances == 16
    assert batching.other_cameras and batching.jitter_plain and batching.twins


def test_the_learning_rate_falls_over_both_stages(tmp_path):
    run = begin(tmp_path)
    run.method.recipe = preset("sysu", "paper", "sdcl")
    one, two = run.method.stages()
    rates = [stage.rate(epoch) for stage in (one, two) for epoch in range(stage.epochs)]
    expected = [3.5e-4] * 20 + [3.5e-5] * 20 + [3.5e-6] * 10
    assert rates == pytest.approx(expected)


def test_memory_momentum_of_the_first_epoch(tmp_path):
    run = begin(tmp_path, recipe=RECIPE.override({"momentum": 0.1, "momentum_first": 0.99}))
    found, labels = torch.randn(4, 32), PseudoLabels(np.array([0, 0, 1, 1]))
    one, two = run.stages
    assert [one.memory(found, labels, epoch)[0].momentum for epoch in (0, 1)] == [0.99, 0.1]
    assert two.memory(found, labels, two.before)[1].momentum == 0.1


def test_stage_one_prepares_by_its_epoch_and_its_own_weights(tmp_path, monkeypatch):
    recipe = RECIPE.override({"momentum": 0.1, "momentum_first": 0.99})
    run = begin(tmp_path, labelled(monkeypatch, PLAIN, PLAIN), recipe)
    stage = run.stages[0]
    torch.manual_seed(0)
    features = {m: torch.randn(24, 32) for m in Modality}
    for epoch, momentum in ((0, 0.99), (1, 0.1)):
        objective = stage.prepare(epoch, features, EpochRecord(stage.place, epoch, 2)).objective
        found = {memory.momentum for m in Modality for memory in objective.memories[m]}
        assert found == {momentum}
        assert objective.weights["vis-vis_deep"] == 1 and objective.weights["inf-inf_shallow"] == 0.5
    assert [stage.tested_by for stage in run.stages] == ["rank1", "rank1"]


def test_stage_two_goes_on_with_the_optimiser(tmp_path, monkeypatch):
    """The momentum with which stage 1 ends moves stage 2's first step."""
    taken = []
    original = trainer.restore_optimizer

    def restore(optimizer, state, kind):
        taken.append({n: values["momentum_buffer"].clone() for n, values in state["state"].items()})
        original(optimizer, state, kind)

    monkeypatch.setattr(trainer, "restore_optimizer", restore)
    run = begin(tmp_path / "one", recipe=SHORT)
    run.train(STAGES)
    saved = checkpoint.read(tmp_path / "one/stage1/last.pt")["run"]["optimizer"]["state"]
    assert len(taken) == 1
    for number, buffer in taken[0].items():
        assert torch.equal(buffer, saved[number]["momentum_buffer"])
    assert any(buffer.any() for buffer in taken[0].values())


def test_stages_one_by_one_equal_all_at_once(whole, tmp_path):
    begin(tmp_path / "pieces").train(["1"])
    second = begin(tmp_path / "pieces")
    take_up(second, tmp_path / "pieces/stage1/last.pt")
    second.train(["2"])
    assert same_weights(whole, second)
    assert entries(whole)[2:] == entries(second)[-2:]


class Stopped(Exception):
    pass


@pytest.mark.parametrize(("stage", "step"), [("1", 1), ("2", 2)])
def test_a_run_goes_on_within_an_epoch(whole, tmp_path, monkeypatch, stage, step):
    """Instance memories are written in every step, and so part of what is saved."""
    run = begin(tmp_path / "cut")
    run.save_minutes = 0
    original = checkpoint.RunFolder.save

    def save(folder, path, *arguments, **options):
        original(folder, path, *arguments, **options)
        state = options.get("run") or {}
        if path.name == MIDWAY and path.parent.name == f"stage{stage}" and state["place"]["epoch"] == 1:
            assert len(state["memories"]) == 4 + (4 if stage == "1" else 2)
            if len(state["losses"]["total"][0]) == step:
                raise Stopped

    monkeypatch.setattr(checkpoint.RunFolder, "save", save)
    with pytest.raises(Stopped):
        run.train(STAGES)
    monkeypatch.undo()
    again = begin(tmp_path / "cut")
    take_up(again, tmp_path / f"cut/stage{stage}/last.pt")
    again.train(STAGES)
    assert same_weights(whole, again)
    assert entries(again)[-1] == entries(whole)[-1]
    assert "starts again" not in said_by(again)


@pytest.mark.parametrize("state", [{}, {"clusters": {"visible": 3}}, {"clusters": {"visible": 3, "infrared": -2}}])
def test_a_state_that_does_not_fit_is_refused(tmp_path, state):
    run = begin(tmp_path)
    with pytest.raises((ValueError, LookupError)):
        run.method.restore(state)
    assert run.method.state() == {"clusters": {"visible": -1, "infrared": -1}}


# --- degenerate clusterings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visible", "infrared", "advice"),
    [
        ([-1] * 24, PLAIN, r"stage 1 epoch 0: all 24 visible images are outliers; a larger eps than"),
        (PLAIN, [0] * 24, r"all 24 infrared images that are no outliers form one cluster"),
    ],
)
def test_nothing_to_tell_apart_ends_in_advice(tmp_path, monkeypatch, visible, infrared, advice):
    run = begin(tmp_path, labelled(monkeypatch, visible, infrared))
    with pytest.raises(UserError, match=advice):
        run.train(STAGES)


@pytest.mark.parametrize(
    ("visible", "infrared"),
    [
        (np.repeat(np.arange(20), 2), np.repeat(np.arange(2), 4)),  # ten to one
        (np.repeat(np.arange(2), 4), np.repeat(np.arange(20), 2)),
        (np.arange(12), np.arange(12)),  # one image of each
        (np.array([0, 1] + [-1] * 30), np.array(PLAIN)),  # nearly all outliers
        (np.array(PLAIN), np.array([0, 0, 1])),  # fewer infrared images than ranks
    ],
)
def test_lopsided_clusterings_are_trained_on(tmp_path, monkeypatch, visible, infrared):
    run = begin(tmp_path, labelled(monkeypatch, visible.tolist(), infrared.tolist()), SHORT)
    run.train(STAGES)
    lines = entries(run)
    assert len(lines) == 2
    ranked = f"{len(infrared)} infrared images, fewer than the 5 of an association: all rank"
    assert (ranked in lines[-1]["notes"]) == (len(infrared) < 5)
    for m, labels in ((VIS, visible), (INF, infrared)):
        clusters = len(set(labels.tolist()) - {-1})
        assert (f"{m}: {clusters} clusters for 4 places in a batch: some come twice" in lines[0]["notes"]) == (
            clusters < 4
        )
    few = len(set(infrared.tolist()) - {-1}) < 4
    assert any("visible images belong to" in note for note in lines[-1]["notes"]) or not few


def test_in_stage_two_one_visible_cluster_is_enough(tmp_path, monkeypatch):
    """It says which images are outliers, and no more; batches are drawn from associations."""
    monkeypatch.setattr(module, "associate", lambda visible, *_, **__: np.resize(PLAIN, len(visible[0])))
    run = begin(tmp_path, labelled(monkeypatch, [PLAIN, [0] * 23 + [-1]], [PLAIN, PLAIN]), SHORT)
    run.train(STAGES)
    line = entries(run)[-1]
    assert line["association"]["trained"] == pytest.approx(23 / 24, abs=1e-6)
    assert "visible: one cluster, which tells no more than which images are outliers" in line["notes"]
    assert not any("places in a batch" in note for note in line["notes"])


def test_one_cluster_that_visible_images_belong_to_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "associate", lambda visible, *_, **__: np.zeros(len(visible[0]), dtype=int))
    run = begin(tmp_path, labelled(monkeypatch, PLAIN, PLAIN), SHORT)
    run.train(STAGES)
    notes = entries(run)[-1]["notes"]
    assert "visible images belong to 1 cluster for 4 places in a batch: some come twice" in notes


def test_notes_in_stage_two_name_the_k1_that_made_the_labels(tmp_path, monkeypatch):
    run = begin(tmp_path, labelled(monkeypatch, PLAIN, PLAIN), SHORT.override({"k1_visible": 30}))
    run.train(STAGES)
    few = "visible: 24 images, fewer than k1_visible 30: all are near each other"
    assert [few in line["notes"] for line in entries(run)] == [False, True]


def test_no_visible_image_that_is_trained_on_ends_in_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "associate", lambda visible, *_, **__: np.full(len(visible[0]), -1))
    run = begin(tmp_path, labelled(monkeypatch, PLAIN, PLAIN), SHORT)
    with pytest.raises(
        UserError, match=r"stage 2 epoch 0: no visible image that is in a cluster belongs to an infrared"
    ):
        run.train(STAGES)


def test_clusters_that_vanish_are_told(tmp_path, monkeypatch):
    few = np.repeat(np.arange(2), 12).tolist()
    run = begin(tmp_path, labelled(monkeypatch, [PLAIN, few], [PLAIN, PLAIN]))
    run.train(["1"])
    first, second = entries(run)
    assert not any("vanish" in note for note in first["notes"])
    (note,) = [note for note in second["notes"] if "vanish" in note]
    assert note.startswith("visible: 2 clusters, 6 an epoch before")


def test_images_all_alike_give_the_same_run_twice(tmp_path, monkeypatch):
    logs = []
    for name in ("one", "two"):
        run = begin(tmp_path / name, labelled(monkeypatch, PLAIN, PLAIN), SHORT, pixels=100)
        run.train(STAGES)
        logs.append(entries(run))
    assert logs[0] == logs[1]
