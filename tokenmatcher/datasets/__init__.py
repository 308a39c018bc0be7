"""What lies on disk, data set by data set: training images, test protocols, counts of the real sets."""

from __future__ import annotations

from tokenmatcher.datasets.base import Dataset
from tokenmatcher.datasets.llcm import LLCM
from tokenmatcher.datasets.regdb import RegDB
from tokenmatcher.datasets.sysu import Sysu
from tokenmatcher.errors import UserError

DATASETS: tuple[type[Dataset], ...] = (Sysu, RegDB, LLCM)


def find_dataset(name: str) -> Dataset:
    """The data set of a name.

    Raises:
        UserError: there is none such.
    """
    for kind in DATASETS:
        if kind.name == name:
            return kind()
    raise UserError(f"{name}: no such data set; there are {', '.join(kind.name for kind in DATASETS)}")
