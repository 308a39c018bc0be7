"""SDCL's numbers, with their source, and its presets.

SDCL: Shallow-Deep Collaborative Learning for Unsupervised Visible-Infrared Person Re-Identification (CVPR 2024).

Paper, SYSU-MM01:  tokenmatcher train sysu --method sdcl     all-search rank-1 64.49; retuned log 65.29, mAP 63.63
Paper, RegDB:      tokenmatcher train regdb --method sdcl    visible to infrared: retuned log rank-1 90.96, mAP 82.86

All are the authors' figures, of the epoch that scored best on the test set. The "demo" presets are for rendered people
on a laptop; network, steps and start are those of TokenMatcher's. A step has 40 infrared pictures, and 40 visible ones
twice: 120 images where TokenMatcher's has 128.

Sources: [C] the published code, [D] decided here. A pair (a, b) holds for stage 1 and stage 2. Epochs are counted from
0 over both stages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from tokenmatcher.contracts import Modality
from tokenmatcher.presets.tokenmatcher import DEMO as TOKENMATCHERS_DEMO
from tokenmatcher.recipe import (
    ClusterConfig,
    DataConfig,
    ModelConfig,
    Presets,
    Recipe,
    ScheduleConfig,
    number,
)


@dataclass(frozen=True, kw_only=True)
class SDCLDataConfig(DataConfig):
    """batches and augmentation"""

    batch_size: int = number(128, "infrared images in a step, and as many visible ones, each with its channel twin [C]")

    def people(self, modality: Modality) -> int:
        """Pseudo identities in a batch; a visible image's twin is extra."""
        return self.batch_size // self.num_instances


@dataclass(frozen=True, kw_only=True)
class SDCLMiningConfig:
    """neighbours of both branches, and ranking association"""

    k1_visible: int = number(15, "as --k1, of visible images in stage 2 [C]")
    neighbour_ratio: float = number(0.9, "a candidate's similarity must exceed this share of the row's largest [C]")
    within_from: int = number(0, "first epoch with neighbours within a modality [C]", least=0)
    across_from: int = number(10, "first epoch with neighbours in the other modality [C]", least=0)
    match_ranked: int = number(20, "association: infrared images in a visible image's lists [C]")


@dataclass(frozen=True, kw_only=True)
class SDCLLossConfig:
    """losses and memories"""

    temperature: float = number(0.05, "softmax temperature of every term [C]")
    momentum: float = number(0.1, "cluster memory, share kept at an update [C]")
    momentum_first: float = number(0.1, "the same in epoch 0; 0.9 to 0.99 keeps clusters from collapsing after it [C]")
    instance_momentum: float = number(0.9, "instance memory, share kept at an update [C]")
    instance_unit: bool = number(
        False, "write unit features into the instance memory; published: as they are, longer than 1 by far [D]"
    )
    lambda_within: tuple[float, float] = number((1.0, 0.1), "weight of neighbours within a modality [C]")
    lambda_to_infrared: tuple[float, float] = number((0.05, 0.01), "of visible images' infrared neighbours [C]")
    lambda_to_visible: tuple[float, float] = number((0.5, 0.1), "of infrared images' visible neighbours [C]")
    shallow_share: float = number(0.5, "weight of the shallow branch's neighbours over the deep one's [C]")
    sequential: bool = number(
        False, "gradients through memories that move within the step, as the published program has them [C]"
    )


@dataclass(frozen=True, kw_only=True)
class SDCLRecipe(Recipe):
    """SDCL's; the defaults are the published ones on SYSU-MM01."""

    SOURCE: ClassVar[str] = "[C]"

    model: ModelConfig = field(
        default_factory=partial(
            ModelConfig, network="two_branch", height=288, width=144, num_tokens=1, drop_path=0.1, bn_groups=2
        )
    )
    data: SDCLDataConfig = field(default_factory=partial(SDCLDataConfig, jitter_everywhere=True))
    clusters: ClusterConfig = field(default_factory=ClusterConfig)
    schedule: ScheduleConfig = field(
        default_factory=partial(
            ScheduleConfig,
            epochs=(30, 20),
            iters=(200, 100),
            lr=(3.5e-4, 3.5e-4),
            decay="steps",
            decay_epochs=(20, 40),
            eval_start=0,
        )
    )
    mining: SDCLMiningConfig = field(default_factory=SDCLMiningConfig)
    losses: SDCLLossConfig = field(default_factory=SDCLLossConfig)

    def rules(self) -> list[tuple[bool, str]]:
        losses = self.losses
        return [
            (self.model.network == "two_branch", "{network} must be two_branch: SDCL learns from two branches"),
            *super().rules(),
            (self.mining.k1_visible >= 2, "{k1_visible} must be at least 2"),
            (self.clusters.k2 <= self.mining.k1_visible, "{k2} must lie in 1..k1-visible"),
            (0 < self.mining.neighbour_ratio < 1, "{neighbour_ratio} must lie between 0 and 1"),
            (losses.temperature > 0, "{temperature} must be positive"),
            (
                all(0 <= m < 1 for m in (losses.momentum, losses.momentum_first, losses.instance_momentum)),
                "{momentum}, {momentum_first} and {instance_momentum} must lie in [0, 1)",
            ),
        ]


PAPER_SYSU = SDCLRecipe()

PAPER_REGDB = PAPER_SYSU.override(
    {
        "resize": "bilinear",
        "eps": 0.3,
        "k1_visible": 30,
        "within_from": 1,
        "match_ranked": 10,
        "momentum_first": 0.99,
        "epochs": (20, 10),
        "iters": (50, 50),
        "decay_epochs": (20,),
    }
)

_DEMO = {
    **TOKENMATCHERS_DEMO,
    "batch_size": 40,
    "k1_visible": 8,
    "across_from": 1,
    "match_ranked": 10,
    "momentum_first": 0.8,
    "decay": "cosine",
}

# For LLCM and for other cameras no numbers were published [D]: SYSU-MM01's.
SDCL: Presets = {
    "sysu": {"paper": PAPER_SYSU, "demo": PAPER_SYSU.override(_DEMO)},
    "regdb": {"paper": PAPER_REGDB, "demo": PAPER_REGDB.override({**_DEMO, "within_from": 0})},
    "table": {"small": PAPER_SYSU, "demo": PAPER_SYSU.override(_DEMO)},
    "llcm": {"default": PAPER_SYSU, "demo": PAPER_SYSU.override(_DEMO)},
}

PUBLISHED = {
    "sysu": "all-search rank-1 64.49 in the paper; retuned log 65.29, mAP 63.63, its last epoch 64.73, mAP 63.10",
    "regdb": "visible to infrared: retuned log rank-1 90.96, mAP 82.86, its last epoch 90.71, mAP 83.12",
}
PUBLISHED_SCORES = {  # of the retuned log
    "sysu": {"all": {"rank1": 0.6529, "mAP": 0.6363}, "indoor": {"rank1": 0.7109, "mAP": 0.7640}},
    "regdb": {
        "visible-to-infrared": {"rank1": 0.9096, "mAP": 0.8286},
        "infrared-to-visible": {"rank1": 0.8998, "mAP": 0.8173},
    },
}
