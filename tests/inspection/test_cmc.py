from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.protocols import Benchmark, Protocol, Trial
from tokenmatcher.inspection.cmc import by_direction, camera_pairs, trial_scores


def benchmark(*, own_camera=False):
    """Five people, two cameras of each modality, two trials whose galleries differ."""
    images = [
        ImageRecord(Path(f"{m}{camera}{person}{n}"), m, camera, person)
        for m, cameras in ((Modality.INFRARED, (3, 6)), (Modality.VISIBLE, (1, 2)))
        for camera in cameras
        for person in range(5)
        for n in range(2)
    ]
    query = np.array([n for n, one in enumerate(images) if one.modality is Modality.INFRARED])
    gallery = np.array([n for n, one in enumerate(images) if one.modality is Modality.VISIBLE])
    trials = (Trial(query, gallery[::2]), Trial(query, gallery[1::2]))
    protocol = Protocol("all", trials, frozenset({(3, 2)}), True, own_camera_excluded=own_camera)
    return Benchmark(tuple(images), (protocol,))


def rank1_slowly(made, features, trial, query_camera, gallery_camera):
    """Of queries by one camera among the images of another."""
    query = [n for n in trial.query if made.cameras[n] == query_camera]
    gallery = [n for n in trial.gallery if made.cameras[n] == gallery_camera]
    right = 0
    for q in query:
        best = max(gallery, key=lambda g: float(features[q] @ features[g]))
        right += made.identities[best] == made.identities[q]
    return right / len(query)


def test_pairs_of_cameras_against_a_loop():
    made = benchmark()
    features = normalize(torch.randn(len(made.images), 8), dim=1)
    found = camera_pairs(made, made.protocols[0], features)
    assert [(one.query, one.gallery) for one in found] == [(3, 1), (6, 1), (6, 2)], "a hidden pair is none"
    for one in found:
        slow = [rank1_slowly(made, features, trial, one.query, one.gallery) for trial in made.protocols[0].trials]
        assert one.scores.rank1 == pytest.approx(np.mean(slow))
        assert one.queries == 10


def test_every_trial_is_scored_as_the_protocol_says():
    made = benchmark()
    features = normalize(torch.randn(len(made.images), 8), dim=1)
    found = trial_scores(made, made.protocols[0], features)
    assert len(found) == 2 and found[0].mAP != found[1].mAP
    perfect = torch.eye(5)[torch.from_numpy(made.identities)]
    assert [one.rank1 for one in trial_scores(made, made.protocols[0], perfect)] == [1, 1]


def test_a_direction_is_named_after_its_query():
    made = benchmark()
    ((name, (protocol, trial)),) = by_direction(made).items()
    assert name == "infrared-to-visible" and protocol is made.protocols[0] and trial is protocol.trials[0]
