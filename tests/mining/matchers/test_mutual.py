import numpy as np
from hypothesis import given
from worlds import INFRARED, VISIBLE, WORLDS

from tokenmatcher.mining.matchers.mutual import match


@given(WORLDS)
def test_is_the_slow_loop(clusters):
    similarity, found = clusters.similarity, match(clusters)
    for v in range(similarity.shape[0]):
        r = max(range(similarity.shape[1]), key=lambda r: (similarity[v, r], -r))
        back = max(range(similarity.shape[0]), key=lambda other: (similarity[other, r], -other))
        assert found.partner[VISIBLE][v] == (r if back == v else -1)
    taken = found.partner[VISIBLE][found.partner[VISIBLE] != -1]
    assert sorted(taken.tolist()) == np.flatnonzero(found.partner[INFRARED] != -1).tolist()
