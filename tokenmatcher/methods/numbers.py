"""The numbers that methods add to those of `tokenmatcher.recipe`, with their source.

Sources: [P] the paper and its supplement, [C] the published code, [D] decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from tokenmatcher.recipe import Recipe, number


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """cluster matching"""

    match_capacity: int = number(
        2, "matcher greedy: clusters that one of the other modality may get [P, of TokenMatcher]"
    )
    match_threshold: float = number(0.5, "matcher counts: cosine from which two images are alike [C, of ADCA]", most=1)
    match_ranked: int = number(20, "matcher ranking: places of an image's list that are looked at [C, of SDCL]")


@dataclass(frozen=True, kw_only=True)
class MiningConfig(MatchingConfig):
    """diverse-token neighbours and cluster matching"""

    neighbour_ratio: float = number(0.9, "a candidate's similarity must exceed this share of the row's largest [P]")
    votes: int = number(4, "class tokens that must agree on a neighbour [P]")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """losses and memories"""

    temperature: float = number(0.05, "softmax temperature of every contrastive term [P]")
    momentum: float = number(0.2, "cluster memory, share kept at an update, stage 1 [C]")
    mixed_momentum: float = number(0.8, "the same for the shared memories of stage 2 [C]")
    fusion_momentum: float = number(0.2, "the same for the memory that homogeneous fusion reads [C]")
    lambda_diversity: float = number(1.0, "weight of the token diversity loss [P]")
    lambda_neighbour: float = number(0.5, "weight of the neighbour loss, beta 2 [P]")
    lambda_cross: float = number(0.4, "weight of the cross-modality loss, beta 1 [P]")
    lambda_fusion: float = number(0.03, "weight of homogeneous fusion, beta 3 [P]")
    lambda_fusion_late: float = number(0.12, "the same once --fusion-late-epoch is past [C]")
    fusion_late_epoch: int = number(35, "last stage 2 epoch, from 0, with the first fusion weight [C]", least=0)


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """camera stage"""

    NEEDS_CAMERAS: ClassVar = True

    camera_eps: tuple[float, ...] = number(
        (0.2, 0.2, 0.6, 0.5, 0.5, 0.2),
        "DBSCAN radius within one camera: one value, or one for each camera in order of its number [C]",
        any_length=True,
    )
    camera_k1: int = number(30, "as --k1, within one camera [C]")
    camera_k2: int = number(6, "as --k2, within one camera [C]")
    camera_epochs_visible: int = number(20, "epochs for each visible camera [C]")
    camera_epochs_infrared: int = number(25, "epochs for each infrared camera [C]")
    camera_schedule_epochs: int = number(50, "epochs that the cosine is laid out for [C]")
    camera_iters: int = number(50, "steps an epoch [C]")
    camera_batch_size: int = number(128, "images in a step [C]")
    camera_lr: float = number(3.5e-4, "learning rate at the start [C]")
    camera_lr_min: float = number(1e-6, "learning rate at the cosine's end [C]")
    camera_keep_from: int = number(10, "first epoch, counted from 0, whose labels may be kept [C]", least=0)


@dataclass(frozen=True, kw_only=True)
class TokenMatcherRecipe(Recipe):
    """TokenMatcher's; the defaults are the paper's on SYSU-MM01."""

    mining: MiningConfig = field(default_factory=MiningConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)

    def rules(self) -> list[tuple[bool, str]]:
        losses, camera = self.losses, self.camera
        return [
            (self.model.network == "token_vit", "{network} must be token_vit: TokenMatcher works on class tokens"),
            *super().rules(),
            (1 <= camera.camera_k2 <= camera.camera_k1, "{camera_k2} must lie in 1..camera-k1"),
            (camera.camera_k1 >= 2, "{camera_k1} must be at least 2"),
            (all(0 < eps < 1 for eps in camera.camera_eps), "{camera_eps} must lie between 0 and 1"),
            (len(camera.camera_eps) >= 1, "{camera_eps} needs a value"),
            (0 < self.mining.neighbour_ratio < 1, "{neighbour_ratio} must lie between 0 and 1"),
            (1 <= self.mining.votes <= self.model.num_tokens, "{votes} must lie in 1..num-tokens"),
            (losses.temperature > 0, "{temperature} must be positive"),
            (
                all(0 <= m < 1 for m in (losses.momentum, losses.mixed_momentum, losses.fusion_momentum)),
                "{momentum}, {mixed_momentum} and {fusion_momentum} must lie in [0, 1)",
            ),
            (camera.camera_lr > 0, "{camera_lr} must be positive"),
            (
                camera.camera_batch_size >= self.data.num_instances,
                "{camera_batch_size} must be at least {num_instances}",
            ),
            (
                0 <= camera.camera_keep_from < min(camera.camera_epochs_visible, camera.camera_epochs_infrared),
                "{camera_keep_from} must come before the last camera epoch",
            ),
        ]
