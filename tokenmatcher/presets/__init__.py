"""The recipes that there are, by method, data set and name.

`preset("sysu", "paper")` and `preset("regdb", "paper")` are TokenMatcher's published ones; the "demo" ones are for
rendered people on a laptop. Each method's presets are a file here.
"""

from __future__ import annotations

from tokenmatcher.errors import SettingError
from tokenmatcher.presets.adca import ADCA
from tokenmatcher.presets.pgm import PGM
from tokenmatcher.presets.sdcl import SDCL
from tokenmatcher.presets.tokenmatcher import PAPER_REGDB, PAPER_SYSU, TOKENMATCHER
from tokenmatcher.recipe import Presets, Recipe

__all__ = ["PAPER_REGDB", "PAPER_SYSU", "PRESETS", "TOKENMATCHER", "Presets", "chosen", "preset"]

PRESETS: dict[str, Presets] = {"tokenmatcher": TOKENMATCHER, "sdcl": SDCL, "adca": ADCA, "pgm": PGM}


def preset(dataset: str, name: str, method: str = "tokenmatcher") -> Recipe:
    """A built-in method's recipe.

    Raises:
        SettingError: there is no such method, data set or name.
    """
    return chosen(PRESETS[method], dataset, name)


def chosen(presets: Presets, dataset: str, name: str) -> Recipe:
    """One of a method's presets.

    Raises:
        SettingError: there is none of that name for that data set.
    """
    names = presets.get(dataset, {})
    if name not in names:
        known = ", ".join(names) or "none"
        raise SettingError(
            "{preset} {name}: for data set {dataset_name} there is {known}",
            name=name,
            dataset_name=dataset,
            known=known,
        )
    return names[name]
