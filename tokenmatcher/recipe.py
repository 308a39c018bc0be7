"""Every number of the method, once, with its source; the defaults are the paper's on SYSU-MM01.

A `Recipe` is a handful of frozen groups. Each leaf field is also a command-line flag (`tokenmatcher.cli`), so a field
that nothing reads is a test failure.

Sources: [P] the paper and its supplement, [C] the published code, [D] decided here.
A pair (a, b) holds for stage 1 and stage 2; on the command line one value sets both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError

STAGES = ("1", "camera", "2")  # of a run, in order
MOST = 1e6  # of any number; infinity and nan are none


def _number(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] | None = None,
    least: float | None = None,
    formerly: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """A leaf.

    Args:
        least: the smallest value allowed, by default 1 for whole numbers and 0 for others.
        formerly: what its group of a configuration meant that was written before this leaf came in; None: the
            leaf has always been there.
    """
    return field(default=default, metadata={"help": text, "choices": choices, "least": least, "formerly": formerly})


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """network"""

    height: int = _number(384, "image height, pixels [P]")
    width: int = _number(128, "image width, pixels [P]")
    patch_size: int = _number(16, "patch side, pixels [P]")
    stem_channels: int = _number(64, "channels of the conv stems [C]")
    embed_dim: int = _number(768, "token width [P]")
    depth: int = _number(12, "transformer blocks [P]")
    num_heads: int = _number(12, "attention heads [P]")
    mlp_ratio: float = _number(4.0, "hidden width of a block's MLP over the token width [P]")
    num_tokens: int = _number(4, "class tokens T; SYSU 4, RegDB 6 [P]")
    drop_path: float = _number(0.3, "stochastic depth of the last block, rising linearly from 0 [C]")
    bn_groups: int = _number(
        4,
        "parts of a batch that batch norm normalises apart from each other, as the published runs did on 4 GPUs; "
        "running statistics come from the first [C]",
        formerly=lambda _: 1,
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """batches and augmentation"""

    resize: str = _number(
        "bicubic", "interpolation of training images; SYSU bicubic, RegDB bilinear [C]", choices=("bicubic", "bilinear")
    )
    cluster_resize: str = _number(
        "bicubic",
        "interpolation of the same images where they are clustered and mined [C]",
        choices=("bicubic", "bilinear"),
        formerly=lambda data: data["resize"],
    )
    batch_size: int = _number(
        128, "images of each modality in a step; visible: half of them plain, half their channel twins [P]"
    )
    num_instances: int = _number(16, "images per pseudo identity in a batch [P]")
    jitter: float = _number(0.5, "colour jitter: brightness, contrast, saturation and hue, each up to this [C]")
    jitter_everywhere: bool = _number(
        False, "in stage 1 jitter every image, not the channel twins alone; SYSU no, RegDB yes [C]"
    )
    late_jitter: bool = _number(
        True,
        "where the channel twins alone are jittered, do it after crop and mirror, so that the black border counts in "
        "the contrast's mean [C]",
        formerly=lambda _: False,
    )
    pad: int = _number(10, "padding before the random crop, pixels [C]", least=0)
    flip_prob: float = _number(0.5, "probability of mirroring [C]")
    erase_prob: float = _number(0.5, "probability of random erasing [C]")
    erase_area: tuple[float, float] = _number((0.02, 0.4), "erased share of the image, least and most [C]")
    erase_aspect: tuple[float, float] = _number(
        (0.3, 1 / 0.3), "height over width of the erased box, least and most [C]"
    )

    def people(self, modality: Modality) -> int:
        """Pseudo identities in a batch; a visible image fills two places, its own and its twin's."""
        return self.batch_size // self.num_instances // (2 if modality is Modality.VISIBLE else 1)


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """pseudo labels"""

    k1: int = _number(30, "nearest neighbours of the k-reciprocal sets, the image itself included [C]")
    k2: int = _number(6, "neighbours over which the k-reciprocal vectors are averaged; 1: none [C]")
    eps: float = _number(0.6, "DBSCAN radius, Jaccard distance 0..1; SYSU 0.6, RegDB 0.2 [P]")
    min_samples: int = _number(4, "DBSCAN: images within eps that make a core [C]")
    neighbour_search: str = _number(
        "exact",
        "nearest neighbours of stage 1 and 2; approximate needs faiss and pays from some 100,000 images on [D]",
        choices=("exact", "approximate"),
    )


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """diverse-token neighbours and cluster matching"""

    neighbour_ratio: float = _number(0.9, "a candidate's similarity must exceed this share of the row's largest [P]")
    votes: int = _number(4, "class tokens that must agree on a neighbour; SYSU 4 of 4, RegDB 6 of 6 [P]")
    match_capacity: int = _number(2, "clusters that one cluster of the other modality may be matched to, lambda [P]")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """losses and memories"""

    temperature: float = _number(0.05, "softmax temperature of every contrastive term [P]")
    momentum: float = _number(0.2, "cluster memory, share kept at an update, stage 1; SYSU 0.2, RegDB 0.8 [C]")
    mixed_momentum: float = _number(0.8, "the same for the shared memories of stage 2 [C]")
    fusion_momentum: float = _number(0.2, "the same for the memory that homogeneous fusion reads [C]")
    lambda_diversity: float = _number(1.0, "weight of the token diversity loss [P]")
    lambda_neighbour: float = _number(0.5, "weight of the neighbour loss, beta 2; SYSU 0.5, RegDB 0.1 [P]")
    lambda_cross: float = _number(0.4, "weight of the cross-modality loss, beta 1 [P]")
    lambda_fusion: float = _number(0.03, "weight of homogeneous fusion, beta 3; SYSU 0.03, RegDB 0.01 [P]")
    lambda_fusion_late: float = _number(0.12, "the same once --fusion-late-epoch is past; SYSU 0.12 [C]")
    fusion_late_epoch: int = _number(35, "last stage 2 epoch, from 0, with the first fusion weight [C]", least=0)


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """schedule of stage 1 and stage 2"""

    optimizer: str = _number("sgd", "optimiser [C]", choices=("sgd", "adamw"))
    sgd_momentum: float = _number(0.9, "momentum of SGD [C]")
    weight_decay: float = _number(5e-4, "weight decay [C]")
    epochs: tuple[int, int] = _number((50, 50), "epochs of stage 1 and stage 2; RegDB 35 [P]")
    iters: tuple[int, int] = _number((200, 200), "steps an epoch; RegDB 100 [C]")
    lr: tuple[float, float] = _number((3.5e-4, 3.5e-5), "learning rate at the start; RegDB 3.5e-5 in both stages [P]")
    lr_min: tuple[float, float] = _number((1e-6, 1e-7), "learning rate at the cosine's end; RegDB 1e-7 in both [C]")
    stage2_start: str = _number(
        "last",
        "stage 1 weights that stage 2 starts from; best was chosen on the test set [D]",
        choices=("last", "best"),
    )
    eval_start: int = _number(6, "first epoch, counted from 0, after which the test is run [C]", least=0)
    eval_every: int = _number(1, "epochs between tests; the last epoch is always tested [C]")


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """camera stage (SYSU-MM01 only)"""

    camera_eps: tuple[float, ...] = _number((0.2, 0.2, 0.6, 0.5, 0.5, 0.2), "DBSCAN radius of cameras 1 to 6 [C]")
    camera_k1: int = _number(30, "as --k1, within one camera [C]")
    camera_k2: int = _number(6, "as --k2, within one camera [C]")
    camera_epochs_visible: int = _number(20, "epochs for each visible camera [C]")
    camera_epochs_infrared: int = _number(25, "epochs for each infrared camera [C]")
    camera_schedule_epochs: int = _number(50, "epochs that the cosine is laid out for [C]")
    camera_iters: int = _number(50, "steps an epoch [C]")
    camera_batch_size: int = _number(128, "images in a step [C]")
    camera_lr: float = _number(3.5e-4, "learning rate at the start [C]")
    camera_lr_min: float = _number(1e-6, "learning rate at the cosine's end [C]")
    camera_keep_from: int = _number(10, "first epoch, counted from 0, whose labels may be kept [C]", least=0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every number of one run, by topic."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    clusters: ClusterConfig = field(default_factory=ClusterConfig)
    mining: MiningConfig = field(default_factory=MiningConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)

    def __post_init__(self) -> None:
        _check(self)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, Any]]) -> Recipe:
        """The inverse of `to_dict`, also from JSON, where tuples have become lists.

        Raises:
            UserError: a group or field is missing, unknown, of another kind or out of range.
        """
        if not isinstance(values, dict):
            raise UserError("configuration: no dictionary")
        groups: dict[str, Any] = {}
        for group in fields(cls):
            kind: Any = group.default_factory
            given = values.get(group.name)
            leaves = {leaf.name: leaf.metadata["formerly"] for leaf in fields(kind)}
            always = {name for name, formerly in leaves.items() if formerly is None}
            if not isinstance(given, dict) or not always <= set(given) <= set(leaves):
                raise UserError(f"configuration: group {group.name!r} must hold exactly {', '.join(sorted(leaves))}")
            given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
            groups[group.name] = kind(**_formerly(kind, given), **given)
        try:
            return cls(**groups)
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise UserError(f"configuration: {error!r}") from None

    def latecomers(self) -> dict[str, Any]:
        """The leaves that came in after the first checkpoints were written, by name."""
        return {
            leaf.name: getattr(getattr(self, group.name), leaf.name)
            for group in fields(self)
            for leaf in fields(getattr(self, group.name))
            if leaf.metadata["formerly"] is not None
        }

    def override(self, values: dict[str, Any]) -> Recipe:
        """A copy with the named leaf fields replaced, whichever group they are in.

        Raises:
            ValueError: there is no such field.
        """
        changed, left = {}, dict(values)
        for group in fields(self):
            config = getattr(self, group.name)
            mine = {leaf.name: left.pop(leaf.name) for leaf in fields(config) if leaf.name in left}
            changed[group.name] = replace(config, **mine)
        if left:
            raise ValueError(f"a recipe has no {', '.join(sorted(left))}")
        return replace(self, **changed)

    def differences(self, other: Recipe) -> list[str]:
        """`field mine instead of theirs` for every leaf that differs."""
        lines = []
        for group in fields(self):
            mine, theirs = getattr(self, group.name), getattr(other, group.name)
            for leaf in fields(mine):
                a, b = getattr(mine, leaf.name), getattr(theirs, leaf.name)
                if a != b:
                    lines.append(f"{leaf.name} {a} instead of {b}")
        return lines


def _formerly(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """The leaves of a group that `given` was written without, with what that meant."""
    return {leaf.name: leaf.metadata["formerly"](given) for leaf in fields(kind) if leaf.name not in given}


def _check_leaf(name: str, value: Any, default: Any, metadata: Any) -> None:
    flag = "--" + name.replace("_", "-")
    values, like = (value, default[0]) if isinstance(default, tuple) else ((value,), default)
    for one in values:
        if isinstance(like, str | bool):
            if not isinstance(one, type(like)) or (metadata["choices"] and one not in metadata["choices"]):
                raise UserError(f"{flag} cannot be {one!r}")
            continue
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise UserError(f"{flag} must be a number, got {one!r}")
        least = metadata["least"] if metadata["least"] is not None else int(isinstance(like, int))
        if not least <= one <= MOST:
            raise UserError(f"{flag} must lie in {least}..{MOST:.0e}, got {one}")
        if isinstance(like, int) and one != int(one):
            raise UserError(f"{flag} must be a whole number, got {one}")


def _check(recipe: Recipe) -> None:
    for topic in fields(recipe):
        config = getattr(recipe, topic.name)
        for leaf in fields(config):
            _check_leaf(leaf.name, getattr(config, leaf.name), leaf.default, leaf.metadata)
    model, data, losses, schedule = recipe.model, recipe.data, recipe.losses, recipe.schedule
    rules = [
        (model.height % model.patch_size == 0, "--height must be a multiple of --patch-size"),
        (model.width % model.patch_size == 0, "--width must be a multiple of --patch-size"),
        (model.patch_size % 2 == 0 and model.patch_size >= 2, "--patch-size must be even: the stem halves the image"),
        (model.embed_dim % model.num_heads == 0, "--embed-dim must be a multiple of --num-heads"),
        (model.stem_channels % 2 == 0, "--stem-channels must be even: half of them are instance-normalised"),
        (model.num_tokens >= 2, "--num-tokens must be at least 2"),
        (0 <= model.drop_path < 1, "--drop-path must lie in [0, 1)"),
        (data.num_instances >= 2, "--num-instances must be at least 2"),
        (
            data.batch_size % (2 * data.num_instances) == 0 and data.batch_size > 0,
            "--batch-size must be a multiple of twice --num-instances",
        ),
        (data.pad <= min(model.height, model.width), "--pad must not exceed the image"),
        (0 <= data.jitter <= 0.5, "--jitter must lie in 0..0.5: hue turns by at most half a circle"),
        (0 <= data.flip_prob <= 1, "--flip-prob must lie in 0..1"),
        (0 <= data.erase_prob <= 1, "--erase-prob must lie in 0..1"),
        (0 < data.erase_area[0] <= data.erase_area[1] < 1, "--erase-area needs 0 < least <= most < 1"),
        (0 < data.erase_aspect[0] <= data.erase_aspect[1], "--erase-aspect needs 0 < least <= most"),
        (recipe.clusters.k1 >= 2, "--k1 must be at least 2"),
        (1 <= recipe.clusters.k2 <= recipe.clusters.k1, "--k2 must lie in 1..k1"),
        (1 <= recipe.camera.camera_k2 <= recipe.camera.camera_k1, "--camera-k2 must lie in 1..camera-k1"),
        (recipe.camera.camera_k1 >= 2, "--camera-k1 must be at least 2"),
        (0 < recipe.clusters.eps < 1, "--eps must lie between 0 and 1: it is a Jaccard distance"),
        (all(0 < eps < 1 for eps in recipe.camera.camera_eps), "--camera-eps must lie between 0 and 1"),
        (len(recipe.camera.camera_eps) == 6, "--camera-eps needs six values, cameras 1 to 6"),
        (0 < recipe.mining.neighbour_ratio < 1, "--neighbour-ratio must lie between 0 and 1"),
        (1 <= recipe.mining.votes <= model.num_tokens, "--votes must lie in 1..num-tokens"),
        (losses.temperature > 0, "--temperature must be positive"),
        (
            all(0 <= m < 1 for m in (losses.momentum, losses.mixed_momentum, losses.fusion_momentum)),
            "--momentum, --mixed-momentum and --fusion-momentum must lie in [0, 1)",
        ),
        (all(lr > 0 for lr in schedule.lr), "--lr must be positive"),
        (recipe.camera.camera_lr > 0, "--camera-lr must be positive"),
        (
            recipe.camera.camera_batch_size >= data.num_instances,
            "--camera-batch-size must be at least --num-instances",
        ),
        (
            0
            <= recipe.camera.camera_keep_from
            < min(recipe.camera.camera_epochs_visible, recipe.camera.camera_epochs_infrared),
            "--camera-keep-from must come before the last camera epoch",
        ),
    ]
    for holds, message in rules:
        if not holds:
            raise UserError(message)
