import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmatcher.contracts import Modality
from tokenmatcher.images.augment import Augmenter
from tokenmatcher.images.batches import Batching, make_batches, plan_epoch
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.images.store import ImageStore
from tokenmatcher.machine import Machine
from tokenmatcher.presets import preset


def relabel(values):
    kept = np.unique([value for value in values if value >= 0])
    return np.array([int(np.searchsorted(kept, value)) if value >= 0 else -1 for value in values])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 4), st.integers(1, 3)), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(2, 5),
    st.booleans(),
    st.integers(0, 99),
)
def test_every_batch_obeys_the_rules(images, iters, identities, instances, other_cameras, seed):
    labels, cameras = relabel([label for label, _ in images]), np.array([camera for _, camera in images])
    if labels.max() < 0:
        return
    plan = plan_epoch(
        labels,
        cameras,
        iters=iters,
        identities=identities,
        instances=instances,
        rng=np.random.default_rng(seed),
        other_cameras=other_cameras,
    )
    assert plan.shape == (iters, identities * instances)
    groups = plan.reshape(iters * identities, instances)
    for group in groups:
        label = labels[group[0]]
        assert label >= 0
        assert (labels[group] == label).all()
        members = np.flatnonzero(labels == label)
        rest = group[1:]
        elsewhere = members[cameras[members] != cameras[group[0]]]
        others = members[members != group[0]]
        pool = elsewhere if other_cameras and elsewhere.size else others if others.size else members
        assert np.isin(rest, pool).all()
        if pool.size >= instances:
            assert np.unique(rest).size == rest.size
    clusters = labels.max() + 1
    order = labels[groups[:, 0]]
    for batch in order.reshape(iters, identities):
        assert np.unique(batch).size == min(clusters, identities), "none twice in a batch"
    whole = clusters // identities * identities or clusters
    for start in range(0, len(order) - whole + 1, whole):
        assert np.unique(order[start : start + whole]).size == whole, "each once before any comes again"


@pytest.mark.parametrize("others", [14, 15, 16])
def test_replacement_where_there_are_fewer_than_the_instances(others):
    """With exactly 15 others for 15 places, too, as published."""
    plan = plan_epoch(
        np.zeros(others + 1, dtype=np.int64),
        np.ones(others + 1),
        iters=20,
        identities=1,
        instances=16,
        rng=np.random.default_rng(0),
        other_cameras=False,
    )
    twice = [np.unique(batch[1:]).size < 15 for batch in plan]
    assert all(twice) if others < 16 else not any(twice)


def test_no_identity_stands_twice_in_a_batch():
    """Seven people in batches of three: of each order two batches, and the seventh is left out."""
    plan = plan_epoch(
        np.arange(7),
        np.ones(7),
        iters=400,
        identities=3,
        instances=1,
        rng=np.random.default_rng(0),
        other_cameras=False,
    )
    assert all(np.unique(batch).size == 3 for batch in plan)
    assert all(np.unique(pair).size == 6 for pair in plan.reshape(200, 6))
    assert np.unique(plan).size == 7


def test_no_label_is_refused():
    with pytest.raises(ValueError, match="pseudo label"):
        plan_epoch(
            np.full(3, -1),
            np.ones(3),
            iters=1,
            identities=1,
            instances=2,
            rng=np.random.default_rng(0),
            other_cameras=False,
        )


def test_batches_carry_the_index_of_every_image():
    rng = np.random.default_rng(0)

    def image_set(modality, count):
        store = ImageStore(torch.from_numpy(rng.integers(0, 256, (count, 3, 16, 8), dtype=np.uint8)))
        return ImageSet(modality, store, np.ones(count, dtype=np.int64), np.zeros(count, dtype=np.int64), ())

    sets = {Modality.VISIBLE: image_set(Modality.VISIBLE, 9), Modality.INFRARED: image_set(Modality.INFRARED, 5)}
    plans = {Modality.VISIBLE: np.array([[0, 1], [7, 7]]), Modality.INFRARED: np.array([[4, 0, 1, 2], [3, 3, 3, 3]])}
    augmenter = Augmenter(preset("sysu", "demo").data, (16, 8), torch.Generator().manual_seed(0))
    twins = Batching(2, dict.fromkeys(Modality, 1), 2, other_cameras=False, twins=True, jitter_plain=False)
    batches = list(make_batches(sets, plans, augmenter, twins, Machine()))
    assert [batch.index[Modality.VISIBLE].tolist() for batch in batches] == [[0, 1, 0, 1], [7, 7, 7, 7]]
    assert [batch.index[Modality.INFRARED].tolist() for batch in batches] == [[4, 0, 1, 2], [3, 3, 3, 3]]
    for batch in batches:
        assert all(batch.images[m].shape == (4, 3, 16, 8) for m in Modality)
    plain = Batching(1, {Modality.VISIBLE: 1}, 2, other_cameras=False, twins=False, jitter_plain=True)
    (only,) = make_batches(sets, {Modality.VISIBLE: plans[Modality.VISIBLE][:1]}, augmenter, plain, Machine())
    assert (twins.images(Modality.VISIBLE), twins.images(Modality.INFRARED), plain.images(Modality.VISIBLE)) == (
        4,
        2,
        2,
    )
    assert list(only.images) == [Modality.VISIBLE]
    assert only.index[Modality.VISIBLE].tolist() == [0, 1]
