"""The section of the map: images as points, coloured in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmatcher.contracts import OUTLIER, UNKNOWN, ImageRecord, Modality
from tokenmatcher.inspection.page.charts import Chart, Series, colours
from tokenmatcher.inspection.page.pictures import Pictures
from tokenmatcher.inspection.page.section import Names, Section

THUMB = 80  # pixels high
GREY = "#9aa0a6"
SYMBOL = {Modality.VISIBLE: "circle", Modality.INFRARED: "diamond"}


@dataclass(frozen=True)
class Mapped:
    """N images on a plane.

    name: "training" or "test". says: which images, in words. points: (N, 2). clusters: of each ("visible 3"; "" for an
    outlier), or empty where there are none.
    """

    name: str
    says: str
    records: Sequence[ImageRecord]
    points: np.ndarray
    clusters: Sequence[str]


def map_section(found: Sequence[Mapped], pictures: Pictures, names: Names) -> Section:
    """A chart for each set and colouring."""
    charts: list[Chart] = []
    sets: list[dict[str, Any]] = []
    table: list[list[Any]] = [["set", "x", "y", "modality", "camera", "person", "cluster", "file"]]
    for mapped in found:
        ids = [pictures.of(record.path, THUMB) for record in mapped.records]
        own = []
        for colouring, groups in _colourings(mapped, names).items():
            charts.append(_chart(mapped, colouring, groups, ids, names))
            own.append({"colouring": colouring, "chart": charts[-1].name})
        sets.append({"name": mapped.name, "says": mapped.says, "charts": own, "count": len(mapped.records)})
        for place, record in enumerate(mapped.records):
            cluster = mapped.clusters[place] if mapped.clusters else ""
            who = [names.camera(record.camera), names.person(record.identity), cluster, record.path.name]
            table.append([mapped.name, *map(float, mapped.points[place]), record.modality.value, *who])
    colourings = list(dict.fromkeys(one["colouring"] for own in sets for one in own["charts"]))
    context = {"sets": sets, "colourings": colourings}
    return Section("map", "Map of embeddings", context, charts, tables={"map": table})


def _colourings(mapped: Mapped, names: Names) -> dict[str, list[str]]:
    """Of each image the group that it is coloured by; "" for none."""
    records = mapped.records
    found = {}
    if any(record.identity != UNKNOWN for record in records):
        found["person"] = ["" if r.identity == UNKNOWN else f"person {names.person(r.identity)}" for r in records]
    found["modality"] = [record.modality.value for record in records]
    found["camera"] = [f"{names.camera(record.camera)}, {record.modality}" for record in records]
    if mapped.clusters:
        found["cluster"] = list(mapped.clusters)
    return found


def _chart(mapped: Mapped, colouring: str, groups: Sequence[str], ids: Sequence[str], names: Names) -> Chart:
    order = sorted(set(groups) - {""}, key=_natural)
    palette = dict(zip(order, colours(len(order)), strict=True)) | {"": GREY}
    series: list[Series] = []
    for group in [*order, *([""] if "" in groups else [])]:
        for modality in Modality:
            rows = [n for n, r in enumerate(mapped.records) if groups[n] == group and r.modality is modality]
            if not rows:
                continue
            name = group or ("outlier" if colouring == "cluster" else "unknown")
            series.append(
                Series(
                    name,
                    mapped.points[rows, 0].round(3).tolist(),
                    mapped.points[rows, 1].round(3).tolist(),
                    "points",
                    palette[group],
                    texts=[_text(mapped, row, names) for row in rows],
                    pictures=[ids[row] for row in rows],
                    symbol=SYMBOL[modality],
                    legend=all(name != one.name for one in series),
                )
            )
    says = f"{mapped.says}, each a point; similar ones lie near each other (t-SNE). Colour: {colouring}. Circles are "
    return Chart(
        f"map-{mapped.name}-{colouring}", f"{mapped.name} images by {colouring}", f"{says}visible, diamonds infrared",
        series, bare=True, height=560,
    )  # fmt: skip


def _text(mapped: Mapped, row: int, names: Names) -> str:
    record = mapped.records[row]
    who = "unknown person" if record.identity == UNKNOWN else f"person {names.person(record.identity)}"
    parts = [who, f"{record.modality}, {names.camera(record.camera)}"]
    if mapped.clusters:
        parts.append(f"cluster {mapped.clusters[row]}" if mapped.clusters[row] else "outlier")
    return "; ".join(parts)


def _natural(name: str) -> tuple[str, int, str]:
    word = name.rstrip("0123456789")
    digits = name[len(word) :]
    return word, int(digits) if digits else -1, name


def cluster_names(modality: Modality, labels: np.ndarray) -> list[str]:
    """Of (N,) labels."""
    return ["" if label == OUTLIER else f"{modality} {label}" for label in labels.tolist()]
