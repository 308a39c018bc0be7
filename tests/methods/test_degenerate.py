"""Degenerate clusterings: each is gone on with and noted, or ends in advice."""

from functools import partial

import numpy as np
import pytest
from small import RUN_RECIPE as RECIPE
from small import lines_of, said_by, small_trainer

from tokenmatcher.contracts import Modality, Neighbours, PseudoLabels
from tokenmatcher.errors import UserError
from tokenmatcher.methods import camera, labelling, tokenmatcher
from tokenmatcher.mining.clusters import Clustering

VIS, INF = Modality.VISIBLE, Modality.INFRARED


@pytest.fixture
def begin(tmp_path):
    return partial(small_trainer, tmp_path)


def clustered(monkeypatch, visible, infrared):
    """Whatever the features are, these are the labels."""
    waiting = []

    def labels(_features, **_options):
        if not waiting:
            waiting.extend([visible, infrared])
        return PseudoLabels(np.array(waiting.pop(0)))

    monkeypatch.setattr(labelling, "pseudo_labels", labels)
    return {VIS: len(visible), INF: len(infrared)}


def entries(run):
    lines = lines_of(run)
    assert all(np.isfinite(value) for line in lines for value in line.get("losses", {}).values())
    return lines


PLAIN = np.repeat(np.arange(6), 4).tolist()


@pytest.mark.parametrize(
    ("visible", "infrared", "advice"),
    [
        ([-1] * 24, PLAIN, r"stage 1 epoch 0: all 24 visible images are outliers; a larger eps than"),
        (PLAIN, [-1] * 10, r"stage 1 epoch 0: all 10 infrared images are outliers; .*min_samples"),
        ([0] * 20 + [-1] * 4, PLAIN, r"all 20 visible images that are no outliers form one cluster; a smaller eps"),
        (PLAIN, [0] * 24, r"all 24 infrared images that are no outliers form one cluster"),
    ],
)
def test_nothing_to_tell_apart_ends_in_advice(begin, monkeypatch, visible, infrared, advice):
    run = begin(clustered(monkeypatch, visible, infrared))
    with pytest.raises(UserError, match=advice):
        run.train(["1", "2"])
    assert not list(run.folder.path.rglob("*.pt"))


@pytest.mark.parametrize(
    ("visible", "infrared", "capacity"),
    [
        (np.repeat(np.arange(20), 2), np.repeat(np.arange(2), 4), 10),  # ten to one
        (np.repeat(np.arange(2), 4), np.repeat(np.arange(20), 2), 10),
        (np.arange(12), np.arange(12), 2),  # one image of each
        (np.array([0, 1] + [-1] * 30), np.array(PLAIN), 3),  # nearly all outliers
    ],
)
def test_lopsided_clusterings_are_trained_on(begin, monkeypatch, visible, infrared, capacity):
    run = begin(clustered(monkeypatch, visible.tolist(), infrared.tolist()))
    run.train(["1", "2"])
    first, second = entries(run)
    assert second["match"]["capacity"] == capacity
    assert second["match"]["raised"] == (capacity > 2)
    assert f"capacity raised to {capacity}" in said_by(run) or capacity == 2
    for modality, labels in ((VIS, visible), (INF, infrared)):
        clusters, places = len(set(labels.tolist()) - {-1}), RECIPE.data.people(modality)
        note = f"{modality}: {clusters} clusters for {places} places in a batch: some come twice"
        assert (note in first["notes"]) == (note in second["notes"]) == (clusters < places)


def test_ties_are_broken_the_same_way_each_time(begin, monkeypatch):
    """Images all alike: every similarity is a tie."""
    logs = []
    for _ in range(2):
        run = begin(clustered(monkeypatch, PLAIN, PLAIN), pixels=100)
        run.train(["1", "2"])
        logs.append([{name: line[name] for name in line if "second" not in name} for line in entries(run)])
    assert logs[0] == logs[1]


def test_no_neighbours_leave_a_term_of_0(begin, monkeypatch):
    def none(anchors, targets, **_options):
        return Neighbours(np.zeros(len(anchors) + 1, dtype=np.int64), np.empty(0, dtype=np.int64), len(targets))

    monkeypatch.setattr(tokenmatcher, "token_neighbours", none)
    run = begin(clustered(monkeypatch, PLAIN, PLAIN))
    run.train(["1", "2"])
    last = entries(run)[-1]
    assert last["losses"]["neighbour"] == 0
    assert "no visible image has infrared neighbours: that term is 0" in last["notes"]
    assert len([note for note in last["notes"] if "neighbour" in note]) == 4


def test_nothing_to_fuse_is_noted(begin, monkeypatch):
    """As many clusters in either modality, each with a match of its own."""
    monkeypatch.setattr(tokenmatcher, "joint_targets", one_to_one(tokenmatcher.joint_targets))
    run = begin(clustered(monkeypatch, PLAIN, PLAIN), recipe=RECIPE.override({"match_capacity": 1}))
    run.train(["1", "2"])
    last = entries(run)[-1]
    assert "no clusters share a match: nothing is fused" in last["notes"]
    assert "fusion" not in last["losses"]


def one_to_one(original):
    def checked(*arguments, **options):
        found = original(*arguments, **options)
        assert len(found.match.fused) == 0
        return found

    return checked


def test_fewer_images_than_k1_are_noted(begin, monkeypatch):
    run = begin(clustered(monkeypatch, [0, 0, 1, 1, -1], PLAIN))
    run.train(["1"])
    (entry,) = entries(run)
    assert "visible: 5 images, fewer than k1 6: all are near each other" in entry["notes"]
    assert not any(note.startswith("infrared: 24 images") for note in entry["notes"])


def test_so_few_images_are_one_cluster_by_nature(begin):
    with pytest.raises(UserError, match=r"all 5 visible images that are no outliers form one cluster; .* or k1 than 6"):
        begin({VIS: 5, INF: 24}).train(["1"])


def test_one_camera_is_noted_where_several_are_meant(begin, monkeypatch):
    count = clustered(monkeypatch, PLAIN, PLAIN)
    run = begin(count, cameras={VIS: np.full(24, 1), INF: np.resize((3, 6), 24)})
    run.train(["1", "2"])
    first, second = entries(run)
    note = "visible: one camera, from which all pictures of a cluster are drawn"
    assert note in first["notes"]
    assert note not in second["notes"]  # stage 2 draws from all cameras alike


@pytest.mark.parametrize("labels", [[-1] * 24, [0] * 24])
def test_a_camera_without_clusters_is_left_as_it_is(begin, monkeypatch, labels):
    count = clustered(monkeypatch, PLAIN, PLAIN)
    original = camera.cluster

    def cluster(features, **options):
        found = original(features, **options)
        return Clustering(PseudoLabels(np.array(labels[: len(features)])), found.similarity)

    monkeypatch.setattr(camera, "cluster", cluster)
    run = begin(count)
    run.train(["1", "camera", "2"])
    cameras = [entry for entry in entries(run) if entry["stage"] == "camera"]
    assert [entry["camera"] for entry in cameras] == [1, 2, 4, 5, 3, 6]
    note = f"{['no', 'one'][labels[0] + 1]} cluster: this camera is left as it is"
    assert all(note in entry["notes"] for entry in cameras)
    assert all((local == -1).all() for local in run.method.local.labels.values())


def test_a_loss_that_is_not_finite_names_its_images(begin, monkeypatch):
    run = begin(clustered(monkeypatch, PLAIN, PLAIN))
    run.network.vit.pos_embed.register_hook(lambda gradient: gradient * float("inf"))
    message = (
        r"epoch 0: the gradient of finite losses is not finite at step 1, made of '.*visible\d+\.jpg' and \d+ other"
    )
    with pytest.raises(UserError, match=message):
        run.train(["1"])
    listed = (run.folder.path / "not_finite.txt").read_text().splitlines()
    assert len(listed) == len(set(listed)) > 4
    assert any("infrared" in name for name in listed)
    assert not list(run.folder.path.rglob("*.pt"))
