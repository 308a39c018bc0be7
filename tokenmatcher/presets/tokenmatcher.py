"""TokenMatcher's presets.

Paper, SYSU-MM01:  sh run_train_sysu.sh    all-search rank-1 65.07, mAP 62.79 (the authors' figures)
Paper, RegDB:      sh run_train_regdb.sh   visible to infrared rank-1 92.96, mAP 86.32 (the authors' figures)

The "demo" ones are for rendered people on a laptop.
"""

from __future__ import annotations

from tokenmatcher.methods.numbers import TokenMatcherRecipe
from tokenmatcher.recipe import Presets

PAPER_SYSU = TokenMatcherRecipe()

PAPER_REGDB = PAPER_SYSU.override(
    {
        "num_tokens": 6,
        "resize": "bilinear",
        "jitter_everywhere": True,
        "eps": 0.2,
        "votes": 6,
        "momentum": 0.8,
        "lambda_neighbour": 0.1,
        "lambda_fusion": 0.01,
        "lambda_fusion_late": 0.01,
        "epochs": (35, 35),
        "iters": (100, 100),
        "lr": (3.5e-5, 3.5e-5),
        "lr_min": (1e-7, 1e-7),
    }
)

# Of any method; from where TokenMatcher's own differ.
DEMO = {
    "height": 96,
    "width": 32,
    "stem_channels": 24,
    "embed_dim": 128,
    "depth": 4,
    "num_heads": 4,
    "drop_path": 0.1,
    "bn_groups": 1,
    "batch_size": 64,
    "num_instances": 4,
    "pad": 4,
    "k1": 15,
    "k2": 4,
    "eps": 0.5,
    "optimizer": "adamw",
    "epochs": (3, 12),
    "iters": (50, 50),
    "lr": (3e-4, 4e-4),
    "lr_min": (1e-6, 1e-6),
    "momentum": 0.8,
    "eval_start": 100,
}
_DEMO = {
    **DEMO,
    "neighbour_ratio": 0.8,
    "camera_eps": (0.45,) * 6,
    "camera_k1": 8,
    "camera_k2": 3,
    "camera_epochs_visible": 2,
    "camera_epochs_infrared": 2,
    "camera_schedule_epochs": 4,
    "camera_iters": 10,
    "camera_batch_size": 64,
    "camera_lr": 2e-4,
    "camera_keep_from": 0,
}

# For LLCM and for other cameras no numbers were published [D]: SYSU-MM01's, but for what belongs to its own cameras.
_OTHER_CAMERAS = {"camera_eps": (0.4,)}

TOKENMATCHER: Presets = {
    "sysu": {"paper": PAPER_SYSU, "demo": PAPER_SYSU.override(_DEMO)},
    "regdb": {"paper": PAPER_REGDB, "demo": PAPER_REGDB.override({**_DEMO, "num_tokens": 4, "votes": 4})},
    "table": {
        "small": PAPER_SYSU.override(_OTHER_CAMERAS),
        "demo": PAPER_SYSU.override({**_DEMO, "camera_eps": (0.45,)}),
    },
    "llcm": {
        "default": PAPER_SYSU.override(_OTHER_CAMERAS),
        "demo": PAPER_SYSU.override({**_DEMO, "camera_eps": (0.45,)}),
    },
}

PUBLISHED = {
    "sysu": "all-search rank-1 65.07, mAP 62.79",
    "regdb": "visible to infrared rank-1 92.96, mAP 86.32, mean of ten trials",
}
PUBLISHED_SCORES = {
    "sysu": {"all": {"rank1": 0.6507, "mAP": 0.6279}},
    "regdb": {"visible-to-infrared": {"rank1": 0.9296, "mAP": 0.8632}},
}
