"""An epoch as a row for people: aligned, under a head, at most 120 columns wide. Everything else is in log.jsonl.

Epochs are counted from 0, as in messages, progress bars and log.jsonl.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tokenmatcher.contracts import EpochRecord, Modality
from tokenmatcher.errors import shown

WIDEST = 120
BOLD, YELLOW, PLAIN = "\033[1m", "\033[33m", "\033[0m"

# Name and width of each column, and the group it stands in.
COLUMNS = (
    ("stage", 6, ""), ("epoch", 10, ""),
    ("clusters", 9, "visible"), ("outliers", 9, "visible"), ("ARI", 6, "visible"),
    ("clusters", 9, "infrared"), ("outliers", 9, "infrared"), ("ARI", 6, "infrared"),
    ("right", 8, "matches"),
    ("loss", 10, ""), ("rank-1", 7, "test"), ("mAP", 6, "test"), ("images/s", 9, ""), ("epoch", 8, "time"),
    ("left", 8, "time"),
)  # fmt: skip
SCORES = (10, 11)  # the columns that people look for


def head() -> str:
    """Two lines above the rows."""
    groups: dict[str, int] = {}
    above = ""
    for _, width, group in COLUMNS:
        if group:
            groups[group] = groups.get(group, 0) + width
        else:
            above = _closed(above, groups) + " " * width
    names = "".join(name.rjust(width) for name, width, _ in COLUMNS)
    return f"{_closed(above, groups)}\n{names}"


def _closed(above: str, groups: dict[str, int]) -> str:
    """The groups gathered so far, each centred above its columns."""
    for name, width in groups.items():
        above += " " + f" {name} ".center(width - 1, "-") if width > len(name) + 3 else name.rjust(width)
    groups.clear()
    return above


def row(record: EpochRecord, *, colour: bool = False) -> str:
    """A line, and one more for each note.

    Args:
        colour: for a terminal.
    """
    cells = _cells(record)
    padded = [text.rjust(width) for text, (_, width, _) in zip(cells, COLUMNS, strict=True)]
    if colour:
        for place in SCORES:
            padded[place] = f"{BOLD}{padded[place]}{PLAIN}"
    lines = ["".join(padded).rstrip()]
    for note in record.notes:
        wrapped = textwrap.wrap(
            shown(f"note: {note}"), WIDEST, initial_indent=" " * 15, subsequent_indent=" " * 21, break_on_hyphens=False
        )
        lines += [f"{YELLOW}{line}{PLAIN}" for line in wrapped] if colour else wrapped
    return "\n".join(lines)


def _cells(record: EpochRecord) -> Sequence[str]:
    scores: Mapping[str, Any] = next(iter(record.scores.values()), {})
    camera = record.place.get("camera")
    labels = []
    for modality in Modality:
        found = record.labels.get(modality.value)
        labels += [_count(found["clusters"]), _count(found["outliers"]), _number(found["ari"])] if found else [""] * 3
    total = (record.losses or {}).get("total")
    return (
        f"cam{camera}" if camera is not None else str(record.place["stage"]),
        f"{record.epoch}/{record.epochs}" if record.epochs else f"{record.epoch}",
        *labels,
        _number(record.facts["match"]["right"]) if "match" in record.facts else "",
        "" if total is None else f"{total:.4g}",
        *(f"{100 * scores[name]:.1f}" if name in scores else "" for name in ("rank1", "mAP")),
        "" if record.images_per_second is None else _count(record.images_per_second),
        duration(sum(record.seconds.values())),
        "" if record.left is None else duration(record.left),
    )


def _count(value: float) -> str:
    """From a million on in millions, which fit their column."""
    return f"{value:,.0f}" if round(value) < 1_000_000 else f"{value / 1e6:.4g}M"


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"


def duration(seconds: float) -> str:
    """`12s`, `3m05s`, `1h02m`, `3.1d`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02d}m"
    return f"{seconds / 86400:.1f}d"
