"""Plain-text tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

METRICS = {"rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "rank20": "rank-20", "mAP": "mAP", "mINP": "mINP"}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need; the first one to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def score_table(scores: dict[str, dict[str, Any]], first: str = "protocol") -> str:
    """Scores in per cent, a row for each name."""
    rows = [[name, *(f"{100 * values[metric]:.2f}" for metric in METRICS)] for name, values in scores.items()]
    return table([first, *METRICS.values()], rows)
