"""ADCA's presets.

Paper, SYSU-MM01:  tokenmatcher train sysu --method adca     all-search rank-1 45.51, mAP 42.73
Paper, RegDB:      tokenmatcher train regdb --method adca    visible to infrared rank-1 67.20, mAP 64.05
(the authors' figures, as later papers quote them)

The "demo" ones are for rendered people on a laptop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tokenmatcher.methods.numbers import MatchingConfig
from tokenmatcher.presets import dual
from tokenmatcher.recipe import Presets, number


@dataclass(frozen=True, kw_only=True)
class AggregationConfig(MatchingConfig):
    """cluster matching and aggregation of memories"""

    aggregation: float = number(0.9, "share of the infrared partner in a visible cluster's vector [C]", most=1)
    unit_memory: bool = number(
        False, "make aggregated vectors unit at once, not with their first update; published no [D]"
    )


@dataclass(frozen=True, kw_only=True)
class ADCARecipe(dual.DualRecipe):
    """ADCA's."""

    matching: AggregationConfig = field(default_factory=AggregationConfig)


_OWN = {"jitter": 0.0}
PAPER_SYSU = ADCARecipe().override({**dual.PAPER, **_OWN})
PAPER_REGDB = ADCARecipe().override({**dual.PAPER_REGDB, **_OWN})
DEMO = ADCARecipe().override({**dual.DEMO, **_OWN})

# For LLCM and for other cameras no numbers were published [D]: SYSU-MM01's.
ADCA: Presets = {
    "sysu": {"paper": PAPER_SYSU, "demo": DEMO},
    "regdb": {"paper": PAPER_REGDB, "demo": DEMO},
    "table": {"small": PAPER_SYSU, "demo": DEMO},
    "llcm": {"default": PAPER_SYSU, "demo": DEMO},
}

PUBLISHED = {
    "sysu": "all-search rank-1 45.51, mAP 42.73, mINP 28.29; indoor 50.60, 59.11, 55.17",
    "regdb": "visible to infrared rank-1 67.20, mAP 64.05, mINP 52.67; infrared to visible 68.48, 63.81, 49.62",
}
PUBLISHED_SCORES = {
    "sysu": {
        "all": {"rank1": 0.4551, "mAP": 0.4273, "mINP": 0.2829},
        "indoor": {"rank1": 0.5060, "mAP": 0.5911, "mINP": 0.5517},
    },
    "regdb": {
        "visible-to-infrared": {"rank1": 0.6720, "mAP": 0.6405, "mINP": 0.5267},
        "infrared-to-visible": {"rank1": 0.6848, "mAP": 0.6381, "mINP": 0.4962},
    },
}
