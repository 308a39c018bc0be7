"""PGM's presets.

Paper, SYSU-MM01:  tokenmatcher train sysu --method pgm     all-search rank-1 57.27, mAP 51.78
Paper, RegDB:      tokenmatcher train regdb --method pgm    visible to infrared rank-1 69.48, mAP 65.41
(the authors' figures, as later papers quote them)

The log that its authors ship ends at 56.29 and 51.36 on SYSU-MM01. It is older than two numbers of their code:
--memory-update each --no-jitter-infrared is that run.

The "demo" ones are for rendered people on a laptop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tokenmatcher.methods.numbers import MatchingConfig
from tokenmatcher.presets import dual
from tokenmatcher.recipe import Presets, number


@dataclass(frozen=True, kw_only=True)
class AlternateConfig(MatchingConfig):
    """cluster matching, alternate cross contrast, jitter"""

    lambda_cross: float = number(0.25, "weight of the cross-modality loss [C]")
    jitter_infrared: bool = number(
        False, "in stage 1 jitter infrared images as channel twins; the published log's run: no [C]"
    )


@dataclass(frozen=True, kw_only=True)
class PGMRecipe(dual.DualRecipe):
    """PGM's."""

    matching: AlternateConfig = field(default_factory=AlternateConfig)


_OWN = {"non_local": True}
_HARD = {**_OWN, "memory_update": ("each", "hard"), "jitter_infrared": True}
PAPER_SYSU = PGMRecipe().override({**dual.PAPER, **_HARD, "momentum": 0.2})
PAPER_REGDB = PGMRecipe().override(
    {**dual.PAPER_REGDB, **_OWN, "momentum": 0.2, "epochs": (30, 30), "decay_epochs": (10, 20)}
)
DEMO = PGMRecipe().override({**dual.DEMO, **_HARD})
_EACH = DEMO.override({"memory_update": ("each", "each"), "jitter_infrared": False})

# For LLCM and for other cameras no numbers were published [D]: SYSU-MM01's.
PGM: Presets = {
    "sysu": {"paper": PAPER_SYSU, "demo": DEMO},
    "regdb": {"paper": PAPER_REGDB, "demo": _EACH},
    "table": {"small": PAPER_SYSU, "demo": DEMO},
    "llcm": {"default": PAPER_SYSU, "demo": DEMO},
}

PUBLISHED = {
    "sysu": "all-search rank-1 57.27, mAP 51.78, mINP 34.96 (its log: 56.29, 51.36, 35.06); indoor 56.23, 62.74, 58.13 "
    "(its log: 57.99, 64.92, 60.77)",
    "regdb": "visible to infrared rank-1 69.48, mAP 65.41; infrared to visible 69.85, 65.17",
}
PUBLISHED_SCORES = {
    "sysu": {
        "all": {"rank1": 0.5727, "mAP": 0.5178, "mINP": 0.3496},
        "indoor": {"rank1": 0.5623, "mAP": 0.6274, "mINP": 0.5813},
    },
    "regdb": {
        "visible-to-infrared": {"rank1": 0.6948, "mAP": 0.6541},
        "infrared-to-visible": {"rank1": 0.6985, "mAP": 0.6517},
    },
}
