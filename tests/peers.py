"""What the tests of ADCA's and PGM's objectives share: their golden batches, and the same in slow loops.

Visible features are the plain block, then the augmented one; their labels are stored once.
"""

import numpy as np
import torch
from rounding import assert_near, logit, product

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.methods.base import View

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
SHORT = {VISIBLE: "rgb", INFRARED: "ir"}


def labels_of(data, case):
    """The batch's images, then one image of each cluster, so that none is empty."""
    return {
        m: PseudoLabels(
            np.concatenate([data[f"{case}_labels_{short}"], np.arange(len(data[f"{case}_memory_{short}"]))])
        )
        for m, short in SHORT.items()
    }


def views_of(data, case):
    views = {}
    for m, short in SHORT.items():
        features = torch.tensor(data[f"{case}_features_{short}"], requires_grad=True)
        index = np.arange(len(data[f"{case}_labels_{short}"]))
        views[m] = View(features, features.detach().unsqueeze(1), np.tile(index, 2) if m is VISIBLE else index)
    return views


def near(found, expected, width):
    """Vectors of at most unit length, of some normalised vectors each."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=3 * product(width))


def gradients(views, data, prefix):
    """Probabilities, each as good as a logit, times memories, added up."""
    for m, view in views.items():
        expected = data[f"{prefix}_{SHORT[m]}"]
        assert_near(view.features.grad, expected, 3 * logit(expected.shape[1]))


def slow_unit(rows):
    return rows / np.sqrt((rows**2).sum(-1, keepdims=True))


def slow_loss(values, memory, targets, temperature):
    """Mean of -log softmax, image by image."""
    losses = []
    for value, target in zip(values, targets, strict=True):
        scores = [float(slow_unit(value) @ row) / temperature for row in memory]
        top = max(scores)
        losses.append(top + np.log(sum(np.exp(score - top) for score in scores)) - scores[target])
    return float(np.mean(losses))


def slow_write(memory, values, targets, momentum, write):
    """In place: each sample in order, or of each cluster the least similar, the first of equals."""
    samples = list(zip(map(slow_unit, values), targets, strict=True))
    if write == "hard":
        chosen = {}
        for sample, target in samples:
            if target not in chosen or sample @ memory[target] < chosen[target] @ memory[target]:
                chosen[target] = sample
        samples = [(sample, target) for target, sample in chosen.items()]
    for sample, target in samples:
        memory[target] = slow_unit(momentum * memory[target] + (1 - momentum) * sample)


def slow_dual(values, labels, centres, momentum, temperature, write, *, across=None, partner=None):
    """Terms, and memories afterwards. `across`: whose images are scored against the other modality, too."""
    terms = {m.value: slow_loss(values[m], centres[m], labels[m], temperature) for m in Modality}
    after = {m: centres[m].copy() for m in Modality}
    if across is not None:
        mapped = partner[across][labels[across]]
        kept = mapped != -1
        if kept.any():
            terms["cross"] = slow_loss(values[across][kept], centres[across.other], mapped[kept], temperature)
        slow_write(after[across.other], values[across][kept], mapped[kept], momentum, write)
    for m in Modality:
        slow_write(after[m], values[m], labels[m], momentum, write)
    return terms, after
