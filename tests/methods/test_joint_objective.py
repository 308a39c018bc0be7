"""Stage 2's objective against the published implementation, and against slow loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rounding import cosines, gap, logit, product

from tokenmatcher.contracts import ClusterMatch, Modality, Neighbours, PseudoLabels
from tokenmatcher.losses import cluster_contrast
from tokenmatcher.methods.base import View
from tokenmatcher.methods.contrast import batch_pairs
from tokenmatcher.methods.targets import JointTargets
from tokenmatcher.methods.tokenmatcher import JointObjective
from tokenmatcher.mining.matchers.greedy import match_clusters
from tokenmatcher.presets import preset

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
# The published terms are written down with three decimals.
WRITTEN = 0.5e-3
SHORT = {VISIBLE: "rgb", INFRARED: "ir"}


def labels_over(count: int, index: np.ndarray, labels: np.ndarray, clusters: int) -> PseudoLabels:
    """All N images' labels: the batch's as given, the rest so that no cluster is empty."""
    everybody = np.arange(count) % clusters
    everybody[index] = labels
    return PseudoLabels(everybody)


def golden_case(data, case):
    def get(name):
        return data[f"{case}_{name}"]

    centroids = {m: torch.tensor(get(f"memory_{SHORT[m]}")) for m in Modality}
    instances = {m: torch.tensor(get(f"instances_{SHORT[m]}")) for m in Modality}
    labels = {
        m: labels_over(len(instances[m]), get(f"index_{SHORT[m]}"), get(f"labels_{SHORT[m]}"), len(centroids[m]))
        for m in Modality
    }
    assert gap(cosines(centroids[VISIBLE], centroids[INFRARED])) > 2 * product(64), "else a rounding may exchange pairs"
    neighbours = {
        (a, b): Neighbours(
            get(f"{SHORT[a]}2{SHORT[b]}_indptr"), get(f"{SHORT[a]}2{SHORT[b]}_indices"), len(instances[b])
        )
        for a in Modality
        for b in Modality
    }
    targets = JointTargets(
        labels=labels,
        centroids=centroids,
        mixed={m: torch.tensor(get(f"memory_mixed_{SHORT[m]}")) for m in Modality},
        instances=instances,
        neighbours=neighbours,
        match=match_clusters(centroids[VISIBLE], centroids[INFRARED], capacity=2).match(2),
    )
    index = {VISIBLE: np.tile(get("index_rgb"), 2), INFRARED: get("index_ir")}
    views = {
        m: View(
            torch.tensor(get(f"features_{SHORT[m]}"), requires_grad=True),
            torch.tensor(get(f"tokens_{SHORT[m]}"), requires_grad=True),
            index[m],
        )
        for m in Modality
    }
    return targets, views


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_golden(golden, case, epoch):
    data = golden("stage2_objective")
    targets, views = golden_case(data, case)
    objective = JointObjective(targets, preset("sysu", "paper").losses, epoch)
    terms = objective.losses(views)
    weighted = {name: objective.weights[name] * term.item() for name, term in terms.items()}
    prefix = f"{case}_epoch{epoch}_"
    expected = {
        "infrared": data[prefix + "ir"],
        "visible": data[prefix + "rgb"],
        "diversity": data[prefix + "diversity"],
        "cross": data[prefix + "cross"],
        "fusion": data[prefix + "fusion"],
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(float(value), abs=WRITTEN + 3 * logit(64)), name
    written = float(data[prefix + "neighbour_weighted"])
    assert weighted["neighbour"] == pytest.approx(written, abs=WRITTEN + 3 * logit(64))
    assert sum(weighted.values()) == pytest.approx(float(data[prefix + "total"]), abs=WRITTEN + 6 * logit(64))
    before = {m: objective.mixed[m].vectors.clone() for m in Modality}
    sum(objective.weights[name] * term for name, term in terms.items()).backward()
    assert all(torch.equal(before[m], objective.mixed[m].vectors) for m in Modality), "losses must not write"
    objective.update(views)
    for m in Modality:
        np.testing.assert_allclose(
            objective.mixed[m].vectors, data[f"{prefix}memory_mixed_{SHORT[m]}_after"], rtol=0, atol=3 * product(64)
        )
    np.testing.assert_allclose(
        objective.fusion_memory.vectors,
        data[f"{prefix}memory_{SHORT[objective.fused_modality]}_after"],
        rtol=0,
        atol=3 * product(64),
    )
    other = objective.fused_modality.other
    np.testing.assert_array_equal(targets.centroids[other], data[f"{prefix}memory_{SHORT[other]}_after"])


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_terms_equal_slow_loops(golden, case, epoch):
    data = golden("stage2_objective")
    targets, views = golden_case(data, case)
    terms = JointObjective(targets, preset("sysu", "paper").losses, epoch).losses(views)
    match = match_clusters(targets.centroids[VISIBLE], targets.centroids[INFRARED], capacity=2)
    temperature = 0.05

    cross = 0.0
    for m in Modality:
        labels = targets.labels[m].labels[views[m].index]
        if m is match.row_modality:
            partner = [int(match.column_of_row[label]) for label in labels]
        else:
            partner = [match.rows_of_column[label][0] for label in labels]
        cross += cluster_contrast(views[m].features, targets.mixed[m.other], torch.tensor(partner), temperature).item()
    assert terms["cross"].item() == pytest.approx(cross, abs=2 * logit(64))

    ways = [(VISIBLE, VISIBLE), (INFRARED, INFRARED), (VISIBLE, INFRARED) if epoch == 0 else (INFRARED, VISIBLE)]
    neighbour = 0.0
    for a, b in ways:
        pulled = []
        for row, image in zip(views[a].features, views[a].index, strict=True):
            log_p = (F.normalize(row, dim=0) @ targets.instances[b].T / temperature).log_softmax(0)
            pulled += [-log_p[j].item() for j in targets.neighbours[a, b].row(int(image))]
        neighbour += sum(pulled) / len(pulled)
    assert terms["neighbour"].item() == pytest.approx(neighbour, abs=3 * logit(64))

    rows = match.row_modality
    pulled = []
    for row, image in zip(views[rows].features, views[rows].index, strict=True):
        label = targets.labels[rows].labels[image]
        for column in range(match.num_columns):
            holders = np.flatnonzero(match.column_of_row == column)
            pair = match.rows_of_column[column]
            if len(holders) == 2 and label == pair[epoch]:
                scores = F.normalize(row, dim=0) @ targets.centroids[rows].T / temperature
                pulled.append(-scores.log_softmax(0)[pair[1 - epoch]].item())
    assert terms["fusion"].item() == pytest.approx(sum(pulled) / len(pulled), abs=logit(64))


def test_images_without_a_partner_are_left_out_of_the_cross_term(golden):
    """Half of the clusters have none: the term and the memories are those of the others."""
    targets, views = golden_case(golden("stage2_objective"), "more_rgb")
    losses = preset("sysu", "paper").losses
    partner = {m: np.where(np.arange(len(found)) % 2 == 0, found, -1) for m, found in targets.match.partner.items()}
    objective = JointObjective(replace(targets, match=ClusterMatch(partner)), losses, 0)
    terms = objective.losses(views)
    expected = 0.0
    for m in Modality:
        partners = partner[m][targets.labels[m].labels[views[m].index]]
        kept = np.flatnonzero(partners != -1)
        assert 0 < len(kept) < len(partners)
        features, towards = views[m].features[torch.from_numpy(kept)], torch.from_numpy(partners[kept])
        expected += cluster_contrast(features, targets.mixed[m.other], towards, 0.05).item()
    assert terms["cross"].item() == pytest.approx(expected, abs=2 * logit(64))
    assert "fusion" not in terms
    nobody = ClusterMatch({m: np.full(len(found), -1) for m, found in partner.items()})
    objective = JointObjective(replace(targets, match=nobody), losses, 0)
    assert "cross" not in objective.losses(views)
    objective.update(views)


def test_fusion_weight_rises_late(golden):
    targets, _ = golden_case(golden("stage2_objective"), "more_rgb")
    losses = preset("sysu", "paper").losses
    assert JointObjective(targets, losses, 35).weights["fusion"] == 0.03
    assert JointObjective(targets, losses, 36).weights["fusion"] == 0.12


def test_batch_pairs_equal_the_slow_loop():
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(rng.random(9) < 0.3) for _ in range(7)]
    neighbours = Neighbours(np.cumsum([0, *map(len, rows)]), np.concatenate(rows), 9)
    index = np.array([3, 3, 0, 6, 1])
    expected = [(position, j) for position, image in enumerate(index) for j in rows[image]]
    got = list(zip(*(part.tolist() for part in batch_pairs(neighbours, index)), strict=True))
    assert got == expected
