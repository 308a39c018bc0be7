"""ADCA's and PGM's epochs: what they train towards, degenerate clusterings, batches, and features of unit views."""

import numpy as np
import pytest
import torch
from peers import INFRARED, VISIBLE, near
from small import lines_of, said_by, small_trainer

from tokenmatcher.contracts import EpochRecord, Modality, PseudoLabels
from tokenmatcher.errors import UserError
from tokenmatcher.methods import labelling
from tokenmatcher.methods.adca import ADCA
from tokenmatcher.methods.pgm import PGM
from tokenmatcher.mining.clusters import centroids
from tokenmatcher.mining.matchers import counts, hungarian
from tokenmatcher.presets import preset

KINDS = {"adca": (ADCA, counts.match), "pgm": (PGM, hungarian.match)}
SMALL = {
    "height": 32, "width": 16, "patch_size": 8, "stem_channels": 4, "embed_dim": 16, "depth": 1, "num_heads": 2,
    "batch_size": 16, "num_instances": 4, "epochs": (1, 2), "iters": (2, 2), "k1": 6, "k2": 2, "min_samples": 2,
}  # fmt: skip
PLAIN = np.repeat(np.arange(6), 4)


def begin(folder, name, labels, monkeypatch, **numbers):
    """A run in which these are the labels of visible and infrared images, whatever the features are."""
    kind, matcher = KINDS[name]
    recipe = preset("sysu", "demo", name).override({**SMALL, **numbers})
    waiting = []

    def found(_features, **_options):
        if not waiting:
            waiting.extend(labels)
        return PseudoLabels(np.asarray(waiting.pop(0)))

    monkeypatch.setattr(labelling, "pseudo_labels", found)
    count = dict(zip((VISIBLE, INFRARED), map(len, labels), strict=True))
    return small_trainer(folder, count, recipe=recipe, kind=kind, matcher=matcher)


def entries(run):
    lines = lines_of(run)
    assert all(np.isfinite(value) for line in lines for value in line["losses"].values())
    return lines


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("visible", "infrared", "advice"),
    [
        (np.full(24, -1), PLAIN, "stage 1 epoch 0: all 24 visible images are outliers; a larger eps than"),
        (PLAIN, np.zeros(24, dtype=int), "all 24 infrared images that are no outliers form one cluster"),
    ],
)
def test_nothing_to_tell_apart_ends_in_advice(tmp_path, monkeypatch, name, visible, infrared, advice):
    run = begin(tmp_path, name, (visible, infrared), monkeypatch)
    with pytest.raises(UserError, match=advice):
        run.train(["1", "2"])
    assert not list(run.folder.path.rglob("*.pt"))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("visible", "infrared", "rounds"),
    [
        (np.repeat(np.arange(20), 2), np.repeat(np.arange(2), 4), 10),  # ten to one
        (np.repeat(np.arange(2), 4), np.repeat(np.arange(20), 2), 10),
        (PLAIN, PLAIN, 1),
        (np.array([0, 1, *[-1] * 30]), PLAIN, 3),  # nearly all outliers
    ],
)
def test_lopsided_clusterings_are_trained_on(tmp_path, monkeypatch, name, visible, infrared, rounds):
    """Whichever modality has more, in both parities."""
    run = begin(tmp_path, name, (visible, infrared), monkeypatch)
    run.train(["1", "2"])
    first, *later = entries(run)
    sizes = {m: len(set(own.tolist()) - {-1}) for m, own in ((VISIBLE, visible), (INFRARED, infrared))}
    assert len(later) == 2
    for line in later:
        match = line["match"]
        assert match["ratio"] == pytest.approx(sizes[VISIBLE] / sizes[INFRARED], abs=1e-6)
        if name == "pgm":
            assert match["rounds"] == rounds and match["matched"] == 1.0 and "cross" in line["losses"]
        else:
            assert match["accepted"] <= min(sizes.values())
    for m in Modality:
        places = run.method.recipe.data.people(m)
        note = f"{m}: {sizes[m]} clusters for {places} places in a batch: some come twice"
        assert (note in first["notes"]) == (sizes[m] < places)


def test_where_no_pair_passes_adca_says_so_and_trains_as_in_stage_1(tmp_path, monkeypatch):
    run = begin(tmp_path, "adca", (PLAIN, PLAIN), monkeypatch, match_threshold=1.0)
    run.train(["1", "2"])
    line = entries(run)[-1]
    assert line["match"]["alike"] == line["match"]["accepted"] == line["match"]["matched"] == 0
    assert "no visible and infrared image are as similar as 1.0: no cluster is matched" in line["notes"]
    assert "no visible and infrared image" in said_by(run)


def test_where_all_pairs_pass_adca_says_so(tmp_path, monkeypatch):
    run = begin(tmp_path, "adca", (PLAIN, PLAIN), monkeypatch, match_threshold=0.0)
    run.train(["1", "2"])
    assert any("counts are mostly sizes" in note for note in entries(run)[-1]["notes"])


def prepared(run, epoch=0):
    stage = run.stages[1]
    features = run._features(stage, 1)
    record = EpochRecord(stage.place, epoch, stage.epochs)
    return stage.prepare(epoch, features, record), features, record


@pytest.mark.parametrize("unit", [False, True])
def test_adcas_visible_memory_is_drawn_towards_the_infrared(tmp_path, monkeypatch, unit):
    run = begin(tmp_path, "adca", (PLAIN, PLAIN), monkeypatch, match_threshold=0.0, unit_memory=unit)
    made, features, record = prepared(run)
    centres = {m: centroids(features[m], PseudoLabels(PLAIN)) for m in Modality}
    memories = made.objective.memories
    near(memories[INFRARED].vectors, centres[INFRARED], 64)
    partner = np.full(6, -1)
    for group in record.examples["matches"]:
        partner[PLAIN[group[0][1]]] = PLAIN[group[-1][1]]
    known = np.flatnonzero(partner != -1)
    assert len(known) == 4, "the examples that there are"
    expected = 0.1 * centres[VISIBLE][known] + 0.9 * centres[INFRARED][partner[known]]
    if unit:
        expected = torch.nn.functional.normalize(expected, dim=1)
    near(memories[VISIBLE].vectors[known], expected, 64)
    assert (memories[VISIBLE].vectors.norm(dim=1) > 1 - 1e-6).all() == unit
    assert {m.momentum for m in memories.values()} == {0.8}


@pytest.mark.parametrize("epoch", [0, 1])
def test_pgm_scores_across_in_turn(tmp_path, monkeypatch, epoch):
    run = begin(tmp_path, "pgm", (PLAIN, PLAIN), monkeypatch)
    objective = prepared(run, epoch)[0].objective
    assert objective.across is (INFRARED if epoch else VISIBLE)
    assert objective.weights == {"visible": 1.0, "infrared": 1.0, "cross": 0.25}
    assert {m.momentum for m in objective.memories.values()} == {0.8}


@pytest.mark.parametrize("name", KINDS)
def test_what_batches_are_made_of(tmp_path, monkeypatch, name):
    run = begin(tmp_path, name, (PLAIN, PLAIN), monkeypatch)
    first, second = run.stages
    for stage in (first, second):
        assert stage.batching.other_cameras and stage.batching.twins and not stage.batching.jitter_plain
        assert stage.batching.images(VISIBLE) == stage.batching.images(INFRARED) == 16
        assert stage.tested_by == "mAP"
    assert [stage.batching.jitter_infrared for stage in (first, second)] == [name == "pgm", False]
    assert [stage.write for stage in (first, second)] == (["each", "hard"] if name == "pgm" else ["each", "each"])
    assert first.start is None and second.start == ("1", "last")
    assert run.method.recipe.data.jitter == (0.5 if name == "pgm" else 0.0)


@pytest.mark.parametrize("name", KINDS)
def test_labels_are_made_from_means_of_unit_views(tmp_path, monkeypatch, name):
    run = begin(tmp_path, name, (PLAIN, PLAIN), monkeypatch)
    lengths = run._features(run.stages[0], 0)[VISIBLE].norm(dim=1)
    assert (lengths < 1).all() and (lengths > 0.5).all(), "near 1, and not made so"
