"""A part of the page: what its template shows, and what of it is written beside the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenmatcher.contracts import UNKNOWN
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.datasets.table import Table
from tokenmatcher.inspection.page.charts import Chart, Heat


@dataclass(frozen=True)
class Section:
    """name: of its template and link. context: what the template reads beside `charts` and `heats`.

    tables: rows for CSV files, by file name. sheets: makers of PNG files, by file name.
    """

    name: str
    title: str
    context: Mapping[str, Any]
    charts: Sequence[Chart] = ()
    heats: Sequence[Heat] = ()
    tables: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)
    sheets: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Names:
    """What a data set's cameras and people are called; None: by their numbers."""

    dataset: Dataset | None

    def camera(self, number: int) -> str:
        names = self.dataset.camera_names if self.dataset else ()
        return names[number - 1] if names else f"cam{number}"

    def person(self, identity: int) -> str:
        if identity == UNKNOWN:
            return "unknown"
        return self.dataset.rows.identities[identity - 1] if isinstance(self.dataset, Table) else f"{identity}"


def per_cent(value: float | None, digits: int = 1) -> str:
    """Of a fraction."""
    return "-" if value is None else f"{100 * value:.{digits}f}"
