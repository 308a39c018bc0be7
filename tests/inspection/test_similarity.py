from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tokenmatcher.contracts import UNKNOWN, ImageRecord, Modality
from tokenmatcher.inspection.similarity import EDGES, drawn, similarities

VISIBLE, INFRARED = Modality


def records(people, cameras, modality):
    return [ImageRecord(Path(f"{n}"), modality, cameras[n % len(cameras)], p) for n, p in enumerate(people)]


def world(people=(4, 4, 9, 9, 30, 30), cameras=((1, 2), (3, 6))):
    of = {m: records(people, own, m) for m, own in zip(Modality, cameras, strict=True)}
    return {m: normalize(torch.randn(len(people), 6), dim=1) for m in Modality}, of


def slowly(features, of, one, other, excluded=(), *, apart=False):
    """Similarities of pairs by two cameras, of one person and of two."""
    same, different = [], []
    pairs = (
        combinations(range(len(of[one])), 2) if one is other else product(range(len(of[one])), range(len(of[other])))
    )
    for a, b in pairs:
        first, second = of[one][a], of[other][b]
        if first.camera == second.camera and not (apart and one is not other):
            continue
        if (first.camera, second.camera) in excluded or (second.camera, first.camera) in excluded:
            continue
        value = float(features[one][a] @ features[other][b])
        (same if first.identity == second.identity else different).append(value)
    return same, different


@pytest.mark.parametrize("excluded", [(), ((3, 2),)])
def test_histograms_against_a_loop(excluded):
    features, of = world()
    found = {one.pair: one for one in similarities(features, of, excluded_cameras=excluded, cameras_apart=False)}
    assert set(found) == {"visible-infrared", "visible-visible", "infrared-infrared"}
    for name, (a, b) in {"visible-infrared": (VISIBLE, INFRARED), "visible-visible": (VISIBLE, VISIBLE)}.items():
        same, different = slowly(features, of, a, b, excluded)
        assert found[name].counts == (len(same), len(different))
        for shares, values in ((found[name].same, same), (found[name].different, different)):
            for low, high, share in zip(EDGES[:-1], EDGES[1:], shares, strict=True):
                # A value at an edge may be rounded into either of two bins.
                sure = sum(low + 1e-6 < value < high - 1e-6 for value in values) / len(values)
                most = sum(low - 1e-6 < value < high + 1e-6 for value in values) / len(values)
                assert sure <= share + 1e-9 and share <= most + 1e-9
            assert shares.sum() == pytest.approx(1)
        assert found[name].overlap == pytest.approx(np.minimum(found[name].same, found[name].different).sum())
        assert found[name].point is None or -1 <= found[name].point.threshold <= 1.01


def test_regdbs_two_cameras_have_one_number_and_are_two():
    features, of = world(cameras=((1,), (1,)))
    assert similarities(features, of, cameras_apart=False) == []
    (found,) = similarities(features, of, cameras_apart=True)
    assert found.pair == "visible-infrared"
    assert found.counts == tuple(map(len, slowly(features, of, VISIBLE, INFRARED, apart=True)))


def test_where_nobody_is_known_all_pairs_stand_together():
    features, of = world(people=(UNKNOWN,) * 4)
    for one in similarities(features, of, cameras_apart=False):
        assert one.counts[0] == 0 and one.counts[1] > 0 and one.overlap is None and one.point is None


def test_people_apart_do_not_overlap():
    of = {m: records([1, 1, 2, 2], (1, 2) if m is VISIBLE else (3, 6), m) for m in Modality}
    features = {m: torch.eye(2)[[0, 0, 1, 1]] for m in Modality}
    for one in similarities(features, of, cameras_apart=False):
        assert one.overlap == 0 and one.same[-1] == 1


def test_known_people_are_drawn():
    known = records([1, 2, 3, UNKNOWN, 4], (1,), VISIBLE)
    assert drawn(known, 10, 0).tolist() == [0, 1, 2, 4]
    few = drawn(known, 2, 0)
    assert len(few) == 2 and set(few) <= {0, 1, 2, 4}
    assert drawn(records([UNKNOWN] * 3, (1,), VISIBLE), 5, 0).tolist() == [0, 1, 2]
