"""The section of curves: every figure of the log over the epochs, runs over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenmatcher.inspection.figures import Band, Family, bands, families
from tokenmatcher.inspection.folder import LoggedRun
from tokenmatcher.inspection.page.charts import Chart, Series
from tokenmatcher.inspection.page.section import Section

TOPICS = {
    "scores": ("Test scores", "Of the epochs that were tested. Training never sees these."),
    "labels": (
        "Pseudo labels",
        "Clusters should stay near the number of people. ARI and NMI compare them with the true identities, which "
        "training never reads.",
    ),
    "match": (
        "Matches between modalities",
        "right: share of matched clusters whose partner shows the same person. It cannot pass matchable, the share for "
        "which there is a partner at all.",
    ),
    "neighbours": ("Neighbours (DTNL)", "Fewer and righter is healthy; fewer without righter is a bad sign."),
    "losses": ("Losses", "Means over an epoch's steps, unweighted; the total is weighted."),
    "training": ("Training", ""),
    "seconds": ("Time", "Seconds of each phase of an epoch."),
}
TITLES = {
    ("labels", "clusters"): "Clusters",
    ("labels", "outliers"): "Outliers (images left out)",
    ("labels", "ari"): "Adjusted Rand index",
    ("labels", "nmi"): "Normalised mutual information",
    ("match", "shares"): "Share of clusters",
    ("match", "ratio"): "Visible clusters per infrared one",
    ("match", "capacity"): "Capacity of matching",
    ("match", "raised"): "Capacity raised (1: yes)",
    ("match", "matched_columns"): "Clusters of the smaller side with a match, share",
    ("match", "fused_pairs"): "Fused pairs (HF)",
    ("neighbours", "per_image"): "Neighbours an image",
    ("neighbours", "precision"): "Neighbours that are right, share",
    ("scores", "rank1"): "rank-1",
    ("scores", "rank5"): "rank-5",
    ("scores", "rank10"): "rank-10",
    ("scores", "rank20"): "rank-20",
    ("losses", "own modality"): "Loss: own modality",
    ("training", "lr"): "Learning rate",
    ("training", "gradient"): "Gradient norm",
    ("training", "images_per_second"): "Images a second",
    ("training", "gpu_memory"): "GPU memory, bytes",
    ("training", "silhouette"): "Silhouette of the camera stage's labels",
    ("seconds", "seconds"): "Seconds of each phase",
}


def curves_section(runs: Sequence[LoggedRun]) -> Section:
    """A chart for every family of figures."""
    found = [families(run) for run in runs]
    keys = dict.fromkeys(key for own in found for key in own)
    marked = _merged(bands(runs[0].epochs))
    charts: dict[str, list[Chart]] = {}
    for topic, name in sorted(keys, key=lambda key: _place(key[0])):
        own = [(run, own[topic, name]) for run, own in zip(runs, found, strict=True) if (topic, name) in own]
        charts.setdefault(topic, []).append(_chart(topic, name, own, [run.name for run in runs], marked))
    topics: list[dict[str, Any]] = [
        {
            "title": TOPICS.get(topic, (topic, ""))[0],
            "says": TOPICS.get(topic, (topic, ""))[1],
            "names": [chart.name for chart in own],
        }
        for topic, own in charts.items()
    ]
    context = {"topics": topics, "runs": [run.name for run in runs], "several": len(runs) > 1}
    return Section("curves", "Curves", context, [chart for own in charts.values() for chart in own])


def _place(topic: str) -> int:
    order = list(TOPICS)
    return order.index(topic) if topic in order else len(order)


def _merged(found: Sequence[Band]) -> list[tuple[float, float, str]]:
    """A stage's cameras are one band, or their labels would not fit."""
    merged: list[tuple[float, float, str]] = []
    for band in found:
        label = "cameras" if band.camera is not None else f"stage {band.stage}"
        if merged and merged[-1][2] == label:
            merged[-1] = (merged[-1][0], band.last + 0.5, label)
        else:
            merged.append((band.first - 0.5, band.last + 0.5, label))
    return merged


def _chart(
    topic: str,
    name: str,
    own: Sequence[tuple[LoggedRun, Family]],
    runs: Sequence[str],
    marked: Sequence[tuple[float, float, str]],
) -> Chart:
    """One run: a colour for each line. Several: a colour for each run, a dash for each line."""
    lines = list(dict.fromkeys(line for _, family in own for line in family.lines))
    several, factor = len(runs) > 1, 100 if topic == "scores" else 1
    series = []
    for run, family in own:
        for line, values in family.lines.items():
            place = lines.index(line)
            label = f"{run.name}, {line}" if several and len(lines) > 1 else run.name if several else line
            colour, dash = (runs.index(run.name), place) if several else (place, 0)
            shown = [None if value is None else round(factor * value, 6) for value in values]
            series.append(Series(label, list(range(len(shown))), shown, colour=colour, dash=dash))
    title = TITLES.get((topic, name)) or (f"Loss: {name}" if topic == "losses" else name.replace("_", " "))
    slug = "".join(c if c.isalnum() else "-" for c in f"{topic}-{name}".lower()).strip("-")
    longest = max((len(run.epochs) for run, _ in own), default=0)
    return Chart(
        f"curve-{slug}", title, f"{title} over all epochs, the stages one after the other", series,
        "epoch, over all stages", "%" if topic == "scores" else "", bands=marked, x_range=(-0.5, longest - 0.5),
        height=270,
    )  # fmt: skip
