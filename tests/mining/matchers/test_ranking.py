import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import INFRARED, VISIBLE

from tokenmatcher.contracts import PseudoLabels
from tokenmatcher.mining.matchers.ranking import halves, match_of_images


@settings(max_examples=60)
@given(st.integers(0, 9999), st.integers(0, 5), st.integers(0, 5))
def test_clusters_go_with_most_of_their_images(seed, visible, infrared):
    rng = np.random.default_rng(seed)
    own = PseudoLabels(np.concatenate([np.arange(visible), rng.integers(-1, visible, 3 * visible)]))
    found = rng.integers(-1, infrared, len(own))
    match = match_of_images(found, own, infrared)
    for v in range(visible):
        chosen = found[own.labels == v].tolist()
        assert match.partner[VISIBLE][v] == max(range(-1, infrared), key=lambda r: (chosen.count(r), -r))
    for r in range(infrared):
        counts = [int((found[own.labels == v] == r).sum()) for v in range(visible)]
        best = max(range(visible), key=lambda v: (counts[v], -v), default=-1)
        assert match.partner[INFRARED][r] == (best if visible and counts[best] else -1)


def test_halves_are_cut_between_tokens():
    features = torch.arange(12.0).view(1, 12)
    assert [part.tolist() for part in halves(features, 3)] == [[[0, 1, 2, 3]], [[4, 5, 6, 7, 8, 9, 10, 11]]]
    assert [part.shape[1] for part in halves(features, 4)] == [6, 6]
    assert all(torch.equal(part, features) for part in halves(features, 1))
