"""The sections that need pictures: from a model and its images to what each section shows.

Legend: N images, T tokens, D token width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import UNKNOWN, ImageRecord, Modality, PseudoLabels
from tokenmatcher.evaluation.calibration import Calibration
from tokenmatcher.inspection.cmc import by_direction, camera_pairs, trial_scores
from tokenmatcher.inspection.looks import look
from tokenmatcher.inspection.page.clustering import Clustered
from tokenmatcher.inspection.page.embedding import Mapped, cluster_names
from tokenmatcher.inspection.page.ranking import Ranked
from tokenmatcher.inspection.page.scoring import Computed
from tokenmatcher.inspection.page.similar import Compared
from tokenmatcher.inspection.page.tokens import Looked, Tokens
from tokenmatcher.inspection.places import places, whole_people
from tokenmatcher.inspection.ranks import RankList, chosen, people, rank_lists
from tokenmatcher.inspection.similarity import Similarities, drawn, similarities
from tokenmatcher.inspection.subject import Subject, unit
from tokenmatcher.methods.labelling import label_images
from tokenmatcher.methods.numbers import MatchingConfig
from tokenmatcher.mining.clusters import centroids
from tokenmatcher.mining.matchers.base import Clusters, ask
from tokenmatcher.models.backbone import TokenViT

FEW_QUERIES, FEW_GALLERY = 300, 1000  # training images that search each other where there is no test
COMPARED = 2000  # images of each modality whose similarities are measured
LOOKED_AT, SHOWN_PEOPLE = 128, 6  # images of each modality for tables of tokens; people whose pictures are shown

Records = Mapping[Modality, Sequence[ImageRecord]]


@dataclass(frozen=True)
class Features:
    """What the model says of its pictures, computed once for all sections.

    training: (N, T*D) raw, as clustering sees them; records: of the same rows.
    test, start_test: (N, T*D) unit, of the benchmark's images; None: there is no test, no start.
    start_training: unit; None: not asked for, since there is a test.
    """

    training: Mapping[Modality, Tensor]
    records: Records
    test: Tensor | None
    start_test: Tensor | None
    start_training: Mapping[Modality, Tensor] | None


def features_of(subject: Subject) -> Features:
    """Embed everything."""
    tested, start = subject.evaluator is not None, subject.start
    return Features(
        subject.training_features(subject.network),
        subject.training_records(),
        subject.test_features(subject.network) if tested else None,
        subject.test_features(start) if tested and start is not None else None,
        unit(subject.training_features(start)) if not tested and start is not None else None,
    )


def computed(subject: Subject, found: Features) -> Computed | None:
    """Scores by every protocol, and by pairs of cameras; None: there is no test."""
    benchmark = subject.benchmark
    if benchmark is None or found.test is None:
        return None
    directions = by_direction(benchmark)
    return Computed(
        model_name(subject),
        {protocol.name: trial_scores(benchmark, protocol, found.test) for protocol in benchmark.protocols},
        {name: camera_pairs(benchmark, protocol, found.test) for name, (protocol, _) in directions.items()},
    )


def model_name(subject: Subject) -> str:
    """As rows of scores call it: "stage 2, epoch 11"."""
    return subject.note.removesuffix(", the last").removesuffix(", best on the test set so far")


def ranked(subject: Subject, found: Features, queries: int) -> tuple[list[Ranked], str]:
    """Rank lists of each direction, and whose they are. The gallery is that of the first trial."""
    benchmark = subject.benchmark
    made = []
    if benchmark is not None and found.test is not None:
        directions = by_direction(benchmark)
        share = max(1, queries // len(directions))
        for name, (protocol, trial) in directions.items():
            lists = rank_lists(
                (found.test[trial.query.tolist()] @ found.test[trial.gallery.tolist()].T).numpy(),
                benchmark.identities[trial.query],
                benchmark.identities[trial.gallery],
                benchmark.cameras[trial.query],
                benchmark.cameras[trial.gallery],
                excluded_cameras=protocol.excluded_cameras,
                own_camera_excluded=protocol.own_camera_excluded,
            )
            sides = [[benchmark.images[row] for row in rows.tolist()] for rows in (trial.query, trial.gallery)]
            made.append(_ranked(name, sides[0], sides[1], lists, share))
        several = any(len(protocol.trials) > 1 for protocol, _ in directions.values())
        return made, "the test images" + (" (gallery of the first trial)" if several else "")
    features = unit(found.training)
    random = np.random.default_rng(0)
    for m in Modality:
        rows = [
            np.sort(random.permutation(len(found.records[side]))[:most])
            for side, most in ((m, FEW_QUERIES), (m.other, FEW_GALLERY))
        ]
        query, gallery = (
            [found.records[side][row] for row in own] for side, own in zip((m, m.other), rows, strict=True)
        )
        lists = rank_lists(
            (features[m][rows[0]] @ features[m.other][rows[1]].T).numpy(),
            *(np.array([record.identity for record in own]) for own in (query, gallery)),
            *(np.array([record.camera for record in own]) for own in (query, gallery)),
        )
        made.append(_ranked(f"{m}-to-{m.other}", query, gallery, lists, max(1, queries // 2)))
    return made, "the training images, since there are no test images"


def _ranked(
    name: str, query: Sequence[ImageRecord], gallery: Sequence[ImageRecord], lists: Sequence[RankList], count: int
) -> Ranked:
    ids = [np.array([record.identity for record in own]) for own in (query, gallery)]
    return Ranked(name, query, gallery, lists, chosen(lists, ids[0], count), people(lists, *ids))


def compared(subject: Subject, found: Features, seed: int) -> Compared:
    """Similarities before and after training: of test images where there are some."""
    benchmark = subject.benchmark
    if benchmark is not None and found.test is not None:
        rows = {m: own[drawn(records, COMPARED, seed)] for m, (own, records) in subject.test_records().items()}
        records = {m: [benchmark.images[row] for row in own.tolist()] for m, own in rows.items()}
        after = {m: found.test[own] for m, own in rows.items()}
        start = found.start_test
        before = None if start is None else {m: start[own] for m, own in rows.items()}
        excluded = frozenset().union(*(protocol.excluded_cameras for protocol in benchmark.protocols))
        source = "test images"
    else:
        rows = {m: drawn(records, COMPARED, seed) for m, records in found.records.items()}
        records = {m: [found.records[m][row] for row in own.tolist()] for m, own in rows.items()}
        after = {m: of[rows[m]] for m, of in unit(found.training).items()}
        before = None if found.start_training is None else {m: of[rows[m]] for m, of in found.start_training.items()}
        excluded, source = frozenset(), "training images"
    apart = not subject.dataset.many_cameras

    def measured(features: Mapping[Modality, Tensor], *, threshold: bool) -> list[Similarities]:
        return similarities(
            features, records, excluded_cameras=excluded, cameras_apart=apart, seed=seed, measure=threshold
        )

    return Compared(
        measured(after, threshold=True),
        [] if before is None else measured(before, threshold=False),
        Calibration.beside(subject.path, subject.network),
        any(record.identity != UNKNOWN for own in records.values() for record in own),
        source,
        subject.start_note,
    )


def clustered(subject: Subject, found: Features) -> Clustered:
    """Labels and matches as the next epoch would make them."""
    device = subject.machine.device
    on_device = {m: own.to(device) for m, own in found.training.items()}
    labels: dict[Modality, PseudoLabels] = {
        m: label_images(on_device[m], clusters, subject.machine)
        for m, clusters in subject.run.kind().last_clusters(subject.recipe).items()
    }
    match, unmatched = None, "There was nothing to match."
    matcher = subject.run.matcher()
    if matcher is not None and all(own.num_clusters for own in labels.values()):
        groups = (getattr(subject.recipe, group.name) for group in fields(subject.recipe))
        config = next((group for group in groups if isinstance(group, MatchingConfig)), MatchingConfig())
        own = {m: centroids(on_device[m], labels[m]) for m in Modality}
        clusters = Clusters(
            on_device,
            labels,
            own,
            subject.network.parts,
            capacity=config.match_capacity,
            threshold=config.match_threshold,
            ranked=config.match_ranked,
            unit_views=subject.recipe.model.unit_views,
        )
        match = ask(matcher, clusters)
    elif matcher is None:
        unmatched = (
            f"Method {subject.run.method} takes no matcher, so clusters are not matched here; how it joins the "
            "modalities while it trains is among the curves."
        )
    note = (
        f"The training images, clustered and matched again with the weights of {model_name(subject)}: what another "
        "epoch would train on."
    )
    if any(len(subject.index[m]) < len(subject.training[m]) for m in Modality):
        note += f" {sum(map(len, subject.index.values())):,} images of people that were drawn, not all."
    return Clustered(found.records, labels, match, note, unmatched)


def mapped(
    subject: Subject, found: Features, labels: Mapping[Modality, PseudoLabels], points: int, seed: int
) -> list[Mapped]:
    """Maps of training images, with their clusters, and of test images."""
    sets = []
    features = unit(found.training)
    rows = whole_people([_identities(found.records[m]) for m in Modality], points, seed)
    records = [found.records[m][row] for m, own in zip(Modality, rows, strict=True) for row in own.tolist()]
    names = [name for m, own in zip(Modality, rows, strict=True) for name in cluster_names(m, labels[m].labels[own])]
    where = places(torch.cat([features[m][own] for m, own in zip(Modality, rows, strict=True)]), seed=seed)
    sets.append(Mapped("training", f"{len(records)} training images", records, where, names))
    if subject.benchmark is not None and found.test is not None:
        by_modality = subject.test_records()
        own_rows = whole_people([_identities(of) for _, of in by_modality.values()], points, seed)
        tested = np.concatenate(
            [all_rows[own] for (all_rows, _), own in zip(by_modality.values(), own_rows, strict=True)]
        )
        records = [subject.benchmark.images[row] for row in tested.tolist()]
        where = places(found.test[tested], seed=seed)
        sets.append(Mapped("test", f"{len(records)} test images of people never trained on", records, where, ()))
    return sets


def _identities(records: Sequence[ImageRecord]) -> np.ndarray:
    return np.array([record.identity for record in records], dtype=np.int64)


def tokens(subject: Subject, found: Features, seed: int) -> Tokens | None:
    """Attention of some images of both modalities; pictures of a few people whom both have seen. None: a network
    without several class tokens."""
    if not isinstance(subject.network, TokenViT):
        return None
    if subject.evaluator is not None and subject.benchmark is not None:
        stores = {m: images.store for m, images in subject.evaluator.sets.items()}
        records: Records = {m: of for m, (_, of) in subject.test_records().items()}
        index = {m: np.arange(len(of)) for m, of in records.items()}
        source = "test images"
    else:
        stores = {m: images.clustered for m, images in subject.training.items()}
        records, index, source = found.records, dict(subject.index), "training images"
    random = np.random.default_rng(seed)
    sample = {m: np.sort(random.permutation(len(of))[:LOOKED_AT]) for m, of in records.items()}
    network, device = subject.network, subject.machine.device

    def looked(network: TokenViT, m: Modality, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        found = look(network, stores[m].batch(index[m][rows], device), m)
        return found.attention, found.tokens

    after = {m: looked(network, m, rows) for m, rows in sample.items()}
    start = subject.start
    before = {m: looked(start, m, rows)[1] for m, rows in sample.items()} if isinstance(start, TokenViT) else {}
    pairs = _pairs(records)
    attention = {m: looked(network, m, np.array([pair[m] for pair in pairs]))[0].numpy() for m in Modality}
    shown = [Looked(records[m][pair[m]], attention[m][place]) for place, pair in enumerate(pairs) for m in Modality]
    return Tokens(shown, {m: a for m, (a, _) in after.items()}, {m: t for m, (_, t) in after.items()}, before, source)


def _pairs(records: Records) -> list[dict[Modality, int]]:
    """A visible and an infrared row of a few people, spread over all; any rows where nobody is known."""
    first: dict[Modality, dict[int, int]] = {m: {} for m in Modality}
    for m, own in records.items():
        for row, record in enumerate(own):
            first[m].setdefault(record.identity, row)
    both = sorted(set(first[Modality.VISIBLE]) & set(first[Modality.INFRARED]) - {UNKNOWN})
    if both:
        chosen_ids = [both[n] for n in np.unique(np.linspace(0, len(both) - 1, SHOWN_PEOPLE).round().astype(int))]
        return [{m: first[m][identity] for m in Modality} for identity in chosen_ids]
    count = min(SHOWN_PEOPLE, *(len(own) for own in records.values()))
    spread = {m: np.linspace(0, len(own) - 1, count).round().astype(int).tolist() for m, own in records.items()}
    return [{m: spread[m][n] for m in Modality} for n in range(count)]
