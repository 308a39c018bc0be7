"""What lies on disk, data set by data set: training images, test protocols, counts of the real sets."""

from __future__ import annotations

from pathlib import Path

from tokenmatcher.datasets.base import Dataset
from tokenmatcher.datasets.llcm import LLCM
from tokenmatcher.datasets.regdb import RegDB
from tokenmatcher.datasets.sysu import Sysu
from tokenmatcher.datasets.table import Table
from tokenmatcher.doors import made_from
from tokenmatcher.errors import UserError

DATASETS: tuple[type[Dataset], ...] = (Sysu, RegDB, LLCM)


def find_dataset(name: str) -> Dataset:
    """The data set of a name, or the one in a CSV or Python file.

    Raises:
        UserError: no such data set, or a file that is not as it should be.
    """
    if name.lower().endswith(".csv"):
        table = Table(Path(name))
        if any(kind.name == table.name for kind in DATASETS):  # a sysu.csv must not pass for SYSU-MM01
            table.name = table.title
        return table
    if name.endswith(".py"):
        made: Dataset = made_from("dataset", name, Dataset)
        if missing := [part for part in ("name", "title", "cameras") if not hasattr(made, part)]:
            raise UserError(f"{name}: {type(made).__name__} has no {', '.join(missing)}")
        return made
    for kind in DATASETS:
        if kind.name == name:
            return kind()
    known = ", ".join(kind.name for kind in DATASETS)
    raise UserError(f"{name}: no such data set; there are {known}, or give a CSV or Python file")
