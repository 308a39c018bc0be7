"""How far two ways of computing the same number in single precision may be apart, and margins that data must leave.

A rounding errs by at most U of what is rounded, either way; in a sum of n numbers the errors add up like a random walk
of n steps (Higham & Mary, SIAM J. Sci. Comput. 2019), each with a standard deviation of U over the root of 3. WALK is
four of them, which leave out hardly one of ten thousand, for two ways that both err: the root of 2 times one's.
"""

import numpy as np
import torch

U = 2.0**-24  # of float32
WALK = 4 * (2 / 3) ** 0.5 * U
TEMPERATURE = 0.05  # of the presets


def product(width):
    """Of a dot product of two unit vectors of `width` numbers: cosines, centroids' and memories' numbers."""
    return WALK * width**0.5


def logit(width):
    """Of a cosine over the temperature, and so of a cross-entropy of such, and, relatively, of its probabilities."""
    return product(width) / TEMPERATURE


def layers(sums, terms):
    """Of what comes out of `sums` layers one behind the other, each a sum of some `terms` numbers and normalised so
    that errors neither grow nor fade: relative to the largest number."""
    return WALK * (sums * terms) ** 0.5


def resized_from(rows):
    """Of a value between two rows: where it lies is three roundings of numbers up to `rows`, and between the two the
    values may change by twice the largest."""
    return 3 * rows * U * 2


def assert_near(actual, expected, error):
    """No number is off by more than `error` times the largest one."""
    actual, expected = (torch.as_tensor(values).double() for values in (actual, expected))
    assert actual.shape == expected.shape
    off = (actual - expected).abs().max().item() if actual.numel() else 0.0
    allowed = error * expected.abs().max().item() if expected.numel() else 0.0
    assert off <= allowed, f"{off:.2e} apart, {allowed:.2e} allowed"


def cosines(features, others=None):
    """In double precision, of rows of any length."""
    rows = [np.asarray(f, dtype=np.float64) for f in (features, features if others is None else others)]
    one, two = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in rows)
    return one @ two.T


def gap(values):
    """The smallest difference between two numbers, infinite for fewer than two."""
    return np.diff(np.sort(np.asarray(values).ravel())).min(initial=np.inf)


def neighbour_gap(features, cuts):
    """How far the similarities of what stands before and behind the places `cuts` of an image's list, itself first,
    are from each other at least."""
    similar = cosines(features)
    np.fill_diagonal(similar, np.inf)
    ranked = -np.sort(-similar, axis=1)
    return min(((ranked[:, k - 1] - ranked[:, k]).min() for k in cuts if 0 < k < len(ranked)), default=np.inf)


def jaccard_cuts(k1, k2):
    """Where it matters who is the last of a list."""
    return {k1, round(k1 / 2) + 1, k2} - {1}


def orderly(make, cuts):
    """The first of make(0), make(1), ... with no neighbours that a rounding exchanges."""
    for seed in range(10_000):
        features = make(seed)
        if neighbour_gap(features, cuts) > 2 * product(features.shape[1]):
            return features
    raise AssertionError("no such features")
