"""Whose pictures a report looks at."""

import numpy as np
import pytest

from tokenmatcher.contracts import UNKNOWN, Modality
from tokenmatcher.inspection.subject import _people_drawn

VISIBLE, INFRARED = Modality


@pytest.mark.parametrize("seed", range(5))
def test_the_same_people_are_drawn_in_both_modalities(seed):
    """As many as fit, whole: a person who is left out of one is left out of the other."""
    of = {VISIBLE: np.repeat(np.arange(20), 6), INFRARED: np.repeat(np.arange(5, 25), 2)}
    rows = _people_drawn(of, 30, seed)
    drawn = {m: set(of[m][rows[m]].tolist()) for m in Modality}
    assert all(len(rows[m]) <= 30 for m in Modality)
    everybody = drawn[VISIBLE] | drawn[INFRARED]
    for m in Modality:
        assert drawn[m] == everybody & set(of[m].tolist())
        assert len(rows[m]) == sum((of[m] == person).sum() for person in drawn[m])
    assert 5 <= len(everybody) < 25
    assert len(everybody - set(range(5))) >= 1
    assert any(_people_drawn(of, 30, seed)[m].tolist() != _people_drawn(of, 30, seed + 1)[m].tolist() for m in Modality)


def test_all_or_as_many_as_were_asked_for():
    of = {VISIBLE: np.arange(9), INFRARED: np.arange(4)}
    for most in (0, 9):
        assert {m: rows.tolist() for m, rows in _people_drawn(of, most, 0).items()} == {
            VISIBLE: list(range(9)),
            INFRARED: list(range(4)),
        }
    nobody = {m: np.full(9, UNKNOWN) for m in Modality}
    assert [len(rows) for rows in _people_drawn(nobody, 5, 0).values()] == [5, 5]
    crowd = {VISIBLE: np.zeros(9, dtype=int), INFRARED: np.arange(4)}  # of one person more than may be
    assert len(_people_drawn(crowd, 5, 0)[VISIBLE]) <= 5
