"""Every number of a run's log, epoch by epoch, in families that belong into one chart.

A family is a figure's path in log.jsonl without what only tells its lines apart: {"labels": {"visible": {"ari": 0.5}}}
is the line "visible" of the family "labels / ari".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenmatcher.contracts import Modality
from tokenmatcher.inspection.folder import LoggedRun

NO_FIGURES = ("stage", "camera", "epoch", "notes")
MODALITIES = tuple(m.value for m in Modality)
TOGETHER = {"matched", "matchable", "right"}  # shares of "match" that are read beside each other


@dataclass(frozen=True)
class Family:
    """topic: the log's own name of what it belongs to. lines: by name, the value of each epoch that has one, by the
    epoch's place in the log."""

    topic: str
    name: str
    lines: Mapping[str, Mapping[int, float]]


def families(run: LoggedRun) -> dict[tuple[str, str], Family]:
    """By topic and name, in the order in which the log first has them."""
    found: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for place, epoch in enumerate(run.epochs):
        for path, value in numbers(epoch.values):
            topic, name, line = _placed(path)
            found.setdefault((topic, name), {}).setdefault(line, {})[place] = value
    return {(topic, name): Family(topic, name, lines) for (topic, name), lines in found.items()}


def numbers(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    """Path and value of every finite number of an epoch's line; a list of trials is none."""
    for name, value in values.items():
        if name in NO_FIGURES:
            continue
        if isinstance(value, Mapping):
            yield from (((name, *path), number) for path, number in numbers(value))
        elif isinstance(value, bool | int | float) and math.isfinite(value):
            yield (name,), float(value)


def _placed(path: Sequence[str]) -> tuple[str, str, str]:
    """Topic, name and line of a figure's path."""
    topic, *rest = path
    if not rest:
        return "training", topic, topic
    if topic == "seconds":
        return topic, "seconds", rest[-1]
    if topic == "match" and rest[-1] in TOGETHER:
        return topic, "shares", rest[-1]
    if topic == "losses" and rest[0] in MODALITIES:
        return topic, "own modality", rest[0]
    if len(rest) > 1:  # by modality, pair of modalities or protocol
        return topic, rest[-1], " ".join(rest[:-1])
    return topic, rest[0], rest[0]
