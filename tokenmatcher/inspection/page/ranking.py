"""The section of rank lists: queries with what stands first, and the people whom the model fails on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenmatcher.contracts import UNKNOWN, ImageRecord
from tokenmatcher.inspection.page.charts import Chart, Series
from tokenmatcher.inspection.page.pictures import QUERY, RIGHT, UNKNOWN_FRAME, WRONG, Pictures, sheet, small
from tokenmatcher.inspection.page.section import Names, Section, per_cent
from tokenmatcher.inspection.ranks import Person, RankList

BUCKETS = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, 20), (21, 50), (51, 10**9))
ON_A_SHEET = 4  # queries of each group
HARDEST = 12


@dataclass(frozen=True)
class Ranked:
    """One direction: all its rank lists, those that are shown, and its people.

    query, gallery: records of the rows.
    """

    direction: str
    query: Sequence[ImageRecord]
    gallery: Sequence[ImageRecord]
    lists: Sequence[RankList]
    chosen: Mapping[str, Sequence[RankList]]
    people: Sequence[Person]


def ranks_section(ranked: Sequence[Ranked], pictures: Pictures, names: Names, *, source: str) -> Section:
    """The queries that were chosen.

    Args:
        source: which images these are, in words.
    """
    rows = [
        _row(one, group, found, pictures, names)
        for found in ranked
        for group, lists in found.chosen.items()
        for one in lists
    ]
    known = any(one.right is not None for found in ranked for one in found.lists)
    hardest = [
        {
            "direction": found.direction,
            "person": names.person(person.identity),
            "queries": person.queries,
            "rank1": per_cent(person.rank1, 0),
            "mAP": per_cent(person.mAP),
            "taken_for": "-" if person.taken_for is None else names.person(person.taken_for),
            "shown": any(row["identity"] == names.person(person.identity) for row in rows),
            "query": pictures.of(found.query[_first(found, person.identity)].path),
        }
        for found in ranked
        for person in found.people[:HARDEST]
    ]
    context = {
        "rows": rows,
        "groups": list(dict.fromkeys(row["group"] for row in rows)),
        "directions": [found.direction for found in ranked],
        "cameras": sorted({row["camera"] for row in rows}),
        "identities": sorted({row["identity"] for row in rows}, key=lambda name: (not name.isdigit(), len(name), name)),
        "hardest": hardest,
        "known": known,
        "source": source,
        "total": sum(len(found.lists) for found in ranked),
    }
    charts = [_histogram(ranked)] if known else []
    sheets = {
        f"rank-lists-{found.direction}-{group.replace(' ', '-')}": (lambda f=found, own=lists: _sheet(f, own))
        for found in ranked
        for group, lists in found.chosen.items()
    }
    return Section("ranks", "Rank lists", context, charts, (), _tables(ranked, names), sheets)


def _first(found: Ranked, identity: int) -> int:
    """That person's query with the lowest precision."""
    own = [one for one in found.lists if found.query[one.query].identity == identity and one.precision is not None]
    return min(own, key=lambda one: (one.precision or 0, one.query)).query


def _row(one: RankList, group: str, found: Ranked, pictures: Pictures, names: Names) -> dict[str, Any]:
    query = found.query[one.query]
    person, camera = names.person(query.identity), names.camera(query.camera)
    who = f"person {person}" if query.identity != UNKNOWN else "unknown person"
    places = []
    for place, (row, similarity) in enumerate(zip(one.order, one.similarity, strict=True), start=1):
        record = found.gallery[row]
        right = None if one.right is None else one.right[place - 1]
        verdict = {True: "right", False: "wrong", None: "unknown"}[right]
        shown = f"{round(similarity, 2) + 0.0:.2f}"  # no "-0.00"
        whom = f"person {names.person(record.identity)}" if record.identity != UNKNOWN else "unknown person"
        places.append(
            {
                "picture": pictures.of(record.path),
                "verdict": verdict,
                "similarity": shown,
                "camera": names.camera(record.camera),
                "alt": f"place {place}, {verdict}: {record.modality}, {names.camera(record.camera)}, {whom}, "
                f"similarity {shown}",
            }
        )
    return {
        "group": group,
        "direction": found.direction,
        "camera": camera,
        "identity": person,
        "verdict": "unknown" if one.right is None else "right" if one.first_right == 1 else "wrong",
        "first_right": one.first_right,
        "precision": per_cent(one.precision),
        "picture": pictures.of(query.path),
        "alt": f"query: {query.modality}, {camera}, {who}",
        "places": places,
    }


def _histogram(ranked: Sequence[Ranked]) -> Chart:
    labels = [f"{a}" if a == b else f"{a}-{b}" if b < 10**9 else f"over {a - 1}" for a, b in BUCKETS]
    series = []
    for place, found in enumerate(ranked):
        ranks = [one.first_right for one in found.lists if one.first_right is not None]
        shares = [100 * sum(a <= rank <= b for rank in ranks) / max(1, len(ranks)) for a, b in BUCKETS]
        name = found.direction.replace("-", " ")
        series.append(Series(name, labels, [round(share, 3) for share in shares], "bars", colour=place))
    says = "Of all queries, in per cent: at which place of the list the first image of the right person stands"
    return Chart("first-right", "Place of the first right image", says, series, "place", "% of queries", height=300)


def _tables(ranked: Sequence[Ranked], names: Names) -> dict[str, list[list[Any]]]:
    lists: list[list[Any]] = [
        ["direction", "group", "query", "query camera", "query person", "first right", "average precision", "place",
         "gallery", "camera", "person", "similarity", "right"]
    ]  # fmt: skip
    people: list[list[Any]] = [["direction", "person", "queries", "rank-1", "mAP", "taken for"]]
    for found in ranked:
        for group, own in found.chosen.items():
            for one in own:
                query = found.query[one.query]
                head = [
                    found.direction, group, query.path.name, names.camera(query.camera), names.person(query.identity),
                    one.first_right or "", "" if one.precision is None else one.precision,
                ]  # fmt: skip
                for place, (row, similarity) in enumerate(zip(one.order, one.similarity, strict=True)):
                    record = found.gallery[row]
                    right = "" if one.right is None else int(one.right[place])
                    whom = [names.camera(record.camera), names.person(record.identity)]
                    lists.append([*head, place + 1, record.path.name, *whom, similarity, right])
        people += [
            [found.direction, names.person(one.identity), one.queries, one.rank1, one.mAP,
             "" if one.taken_for is None else names.person(one.taken_for)]
            for one in found.people
        ]  # fmt: skip
    return {"rank-lists": lists, "people": people}


def _sheet(found: Ranked, lists: Sequence[RankList]) -> bytes:
    frames = {True: RIGHT, False: WRONG, None: UNKNOWN_FRAME}
    rows = []
    for one in lists[:ON_A_SHEET]:
        row = [(small(found.query[one.query].path), QUERY)]
        for place, column in enumerate(one.order):
            row.append((small(found.gallery[column].path), frames[None if one.right is None else one.right[place]]))
        rows.append(row)
    return sheet(rows)
