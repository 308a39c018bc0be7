"""The section of clusters: how pure they are, which were taken for one person, and the largest mistakes as pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmatcher.contracts import UNKNOWN, ClusterMatch, ImageRecord, Modality, PseudoLabels
from tokenmatcher.inspection.groups import Group, Shared, groups, mistakes, shared, split
from tokenmatcher.inspection.page.charts import Chart, Series
from tokenmatcher.inspection.page.pictures import RIGHT, UNKNOWN_FRAME, WRONG, Pictures, sheet, small
from tokenmatcher.inspection.page.section import Names, Section, per_cent

SHOWN, MISTAKES, SHARED = 10, 6, 8  # pictures of a cluster, clusters of a modality, groups of clusters
PURITY = ((0.0, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.0))


@dataclass(frozen=True)
class Clustered:
    """What the next epoch would train on. match: None where there is none; unmatched: why, in words. note: how it came
    about."""

    records: Mapping[Modality, Sequence[ImageRecord]]
    labels: Mapping[Modality, PseudoLabels]
    match: ClusterMatch | None
    note: str
    unmatched: str = ""


def clusters_section(found: Clustered, pictures: Pictures, names: Names) -> Section:
    """Summary, charts, pictures."""
    identities = {m: np.array([r.identity for r in own], dtype=np.int64) for m, own in found.records.items()}
    cameras = {m: np.array([r.camera for r in own], dtype=np.int64) for m, own in found.records.items()}
    of = {m: groups(m, found.labels[m], identities[m], cameras[m]) for m in Modality}
    known = any((own != UNKNOWN).any() for own in identities.values())
    together = [] if found.match is None else shared(found.match, of)
    several = [one for one in together if len(one.guests) > 1]
    worst = [one for m in Modality for one in mistakes(of[m], MISTAKES)]
    context: dict[str, Any] = {
        "summary": [_summary(m, of[m], found, identities[m]) for m in Modality],
        "known": known,
        "note": found.note,
        "larger": found.match.larger.value if found.match else "",
        "smaller": found.match.larger.other.value if found.match else "",
        "matched": len(together),
        "shared": [_shared(one, found, pictures, names) for one in _first(several)],
        "several": len(several),
        "unmatched": found.unmatched,
        "right": _right(together),
        "mistakes": [_cluster(one, found, pictures, names) for one in worst],
    }
    charts = [_purity(of)] if known else []
    charts += [_sizes(of), _cameras(of)]
    if known:
        charts.append(_split(of, identities))
    table: list[list[Any]] = [
        ["modality", "cluster", "images", "person", "of that person", "known", "cameras", "partner"]
    ]
    for m in Modality:
        for one in of[m]:
            partner = "" if found.match is None else int(found.match.partner[m][one.number])
            seen = " ".join(f"{names.camera(camera)}:{count}" for camera, count in one.cameras.items())
            who = [names.person(one.person), one.right, one.known, seen, partner]
            table.append([m.value, one.number, len(one.rows), *who])
    sheets = {"cluster-mistakes": lambda: _sheet(worst, found)} if worst else {}
    return Section("clusters", "Clusters", context, charts, tables={"clusters": table}, sheets=sheets)


def _first(several: Sequence[Shared]) -> list[Shared]:
    """Half of them wrong ones, where there are."""
    wrong = [one for one in several if one.right is not None and one.right < len(one.guests)]
    right = [one for one in several if one not in wrong]
    return [*wrong[: max(SHARED // 2, SHARED - len(right))], *right[: max(SHARED // 2, SHARED - len(wrong))]]


def _summary(modality: Modality, own: Sequence[Group], found: Clustered, identities: np.ndarray) -> dict[str, Any]:
    purity = [one.purity for one in own if one.purity is not None]
    right, known = sum(one.right for one in own), sum(one.known for one in own)
    return {
        "modality": modality.value,
        "clusters": f"{len(own):,}",
        "people": f"{len(np.unique(identities[identities != UNKNOWN])):,}",
        "images": f"{len(found.labels[modality]):,}",
        "outliers": f"{found.labels[modality].num_outliers:,}",
        "purity": per_cent(right / known if known else None),
        "pure": per_cent(float(np.mean([value == 1 for value in purity])) if purity else None),
        "cameras": f"{np.mean([len(one.cameras) for one in own]):.1f}" if own else "-",
    }


def _right(together: Sequence[Shared]) -> str:
    known = [one for one in together if one.right is not None]
    guests = sum(len([g for g in one.guests if g.person != UNKNOWN]) for one in known)
    return per_cent(sum(one.right or 0 for one in known) / guests if guests else None)


def _purity(of: Mapping[Modality, Sequence[Group]]) -> Chart:
    labels = [f"{100 * a:.0f}-{100 * b:.0f} %" for a, b in PURITY] + ["pure"]
    series = []
    for place, (m, own) in enumerate(of.items()):
        values = [one.purity for one in own if one.purity is not None]
        counts = [float(sum(a <= value < b for value in values)) for a, b in PURITY]
        series.append(Series(m.value, labels, [*counts, float(sum(value == 1 for value in values))], "bars", place))
    says = "How many clusters have which share of images of their most frequent person"
    return Chart("cluster-purity", "Purity", says, series, "share of one person", "clusters", height=300)


def _sizes(of: Mapping[Modality, Sequence[Group]]) -> Chart:
    series = []
    for place, (m, own) in enumerate(of.items()):
        sizes = sorted((len(one.rows) for one in own), reverse=True)
        series.append(Series(m.value, list(range(1, len(sizes) + 1)), [float(size) for size in sizes], colour=place))
    says = "Images of each cluster, the largest first; one giant cluster is a bad sign"
    return Chart("cluster-sizes", "Sizes", says, series, "cluster, by size", "images", height=300)


def _cameras(of: Mapping[Modality, Sequence[Group]]) -> Chart:
    most = max((len(one.cameras) for own in of.values() for one in own), default=1)
    labels = [f"{count}" for count in range(1, most + 1)]
    series = []
    for place, (m, own) in enumerate(of.items()):
        counts = Counter(len(one.cameras) for one in own)
        series.append(Series(m.value, labels, [float(counts[n]) for n in range(1, most + 1)], "bars", place))
    says = "How many cameras the images of a cluster come from; clusters of one camera have not joined a person's views"
    return Chart("cluster-cameras", "Cameras in a cluster", says, series, "cameras", "clusters", height=300)


def _split(of: Mapping[Modality, Sequence[Group]], identities: Mapping[Modality, np.ndarray]) -> Chart:
    counted = {m: Counter(split(list(of[m]), identities[m]).values()) for m in Modality}
    most = max((max(counts, default=0) for counts in counted.values()), default=0)
    labels = [f"{count}" for count in range(most + 1)]
    series = [
        Series(m.value, labels, [float(counts[n]) for n in range(most + 1)], "bars", place)
        for place, (m, counts) in enumerate(counted.items())
    ]
    says = "How many people have no, one, two, ... clusters of their own; 1 is right, more is a split person"
    return Chart("cluster-people", "Clusters of a person", says, series, "clusters", "people", height=300)


def _cluster(
    one: Group, found: Clustered, pictures: Pictures, names: Names, most: int = SHOWN, person: int | None = None
) -> dict[str, Any]:
    """With pictures: of its person (or `person`) first, half of those shown, then of others."""
    own = []
    for record, verdict in _verdicts(one, found, most, person):
        whom = "unknown person" if record.identity == UNKNOWN else f"person {names.person(record.identity)}"
        where = f"{record.modality}, {names.camera(record.camera)}, {whom}"
        own.append({"picture": pictures.of(record.path), "verdict": verdict, "alt": f"{verdict}: {where}"})
    return {
        "title": f"{one.modality} cluster {one.number}",
        "images": len(one.rows),
        "person": names.person(one.person),
        "wrong": one.wrong,
        "purity": per_cent(one.purity, 0),
        "cameras": ", ".join(f"{names.camera(camera)} {count}" for camera, count in one.cameras.items()),
        "pictures": own,
    }


def _verdicts(
    one: Group, found: Clustered, most: int = SHOWN, person: int | None = None
) -> list[tuple[ImageRecord, str]]:
    records = [found.records[one.modality][row] for row in one.rows]
    wanted = one.person if person is None else person
    if wanted == UNKNOWN:
        return [(record, "unknown") for record in _spread(records, most)]
    right = [record for record in records if record.identity == wanted]
    wrong = [record for record in records if record.identity != wanted]
    half = most // 2
    first = _spread(right, max(half, most - len(wrong)))
    verdicts = [(record, "right") for record in first]
    rest = _spread(wrong, most - len(first))
    return verdicts + [(record, "unknown" if record.identity == UNKNOWN else "wrong") for record in rest]


def _spread(records: Sequence[ImageRecord], most: int) -> list[ImageRecord]:
    """At most so many, evenly from first to last."""
    if len(records) <= most:
        return list(records)
    return [records[place] for place in np.linspace(0, len(records) - 1, most).round().astype(int).tolist()]


def _shared(one: Shared, found: Clustered, pictures: Pictures, names: Names) -> dict[str, Any]:
    guests = []
    for guest in one.guests:
        known = guest.person != UNKNOWN and one.partner.person != UNKNOWN
        verdict = "unknown" if not known else "right" if guest.person == one.partner.person else "wrong"
        card = _cluster(guest, found, pictures, names, SHOWN // 2, one.partner.person)
        guests.append(card | {"verdict": verdict})
    return {"partner": _cluster(one.partner, found, pictures, names, SHOWN // 2), "guests": guests}


def _sheet(worst: Sequence[Group], found: Clustered) -> bytes:
    frames = {"right": RIGHT, "wrong": WRONG, "unknown": UNKNOWN_FRAME}
    return sheet(
        [[(small(record.path), frames[verdict]) for record, verdict in _verdicts(one, found)] for one in worst]
    )
