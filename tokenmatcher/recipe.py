"""The numbers that every method has, once, with their source; the defaults are TokenMatcher's on SYSU-MM01.

A `Recipe` is a handful of frozen groups of leaves. A method adds groups of its own (`tokenmatcher.methods.numbers`).
Each leaf is also a command-line flag (`tokenmatcher.cli`), so a leaf that nothing reads is a test failure.

Sources: [P] the paper and its supplement, [C] the published code, [D] decided here, [M] as the method says, its
recipe's SOURCE. No text holds a data set's value: the help has those from the presets.
A pair (a, b) holds for stage 1 and stage 2; on the command line one value sets both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError

MOST = 1e6  # of any number; infinity and nan are none
MOST_PIXELS = 1024 * 1024  # of an image: more is a slip of the keyboard, which would fill the memory
NETWORKS = ("token_vit", "two_branch", "resnet")  # see `tokenmatcher.models.networks`

R = TypeVar("R", bound="Recipe")


def number(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
    formerly: Callable[[dict[str, Any]], Any] | None = None,
    any_length: bool = False,
) -> Any:
    """A leaf.

    Args:
        least: the smallest value allowed, by default 1 for whole numbers and 0 for others.
        most: the largest; None: MOST.
        formerly: what its group of a configuration meant that was written before this leaf came in; None: the
            leaf has always been there.
        any_length: a tuple may have more or fewer values than the default.
    """
    limits = {"choices": choices, "least": least, "most": most, "any_length": any_length}
    return field(default=default, metadata={"help": text, "formerly": formerly, **limits})


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """network"""

    network: str = number(
        "token_vit",
        "token_vit: ViT with several class tokens, TokenMatcher's; two_branch: ViT whose last block is there twice, "
        "SDCL's; resnet: ResNet-50 with two stems, ADCA's and PGM's [M]",
        choices=NETWORKS,
    )
    height: int = number(384, "image height, pixels [M]")
    width: int = number(128, "image width, pixels [M]")
    patch_size: int = number(16, "patch side, pixels [M]")
    stem_channels: int = number(64, "channels of the conv stems [C]")
    embed_dim: int = number(768, "token width [M]")
    depth: int = number(12, "transformer blocks [M]")
    num_heads: int = number(12, "attention heads [M]")
    mlp_ratio: float = number(4.0, "hidden width of a block's MLP over the token width [M]")
    num_tokens: int = number(4, "class tokens T [M]")
    drop_path: float = number(0.3, "stochastic depth of the last block, rising linearly from 0 [C]")
    layers: tuple[int, int, int, int] = number((3, 4, 6, 3), "resnet: blocks of each of its layers [C]")
    width_per_group: int = number(
        64, "resnet: channels of the first layer's 3x3 convolutions, from where they double [C]"
    )
    non_local: bool = number(False, "resnet: attention between the places of a map, as PGM has it [C]")
    unit_views: bool = number(
        False,
        "make an image's feature unit, and its mirror image's, before their mean is taken; ADCA and PGM [C]",
    )
    bn_groups: int = number(
        4,
        "parts of a batch that batch norm normalises apart from each other, as the published runs did on as many GPUs; "
        "running statistics come from the first [C]",
        formerly=lambda _: 1,
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """batches and augmentation"""

    resize: str = number("bicubic", "interpolation of training images [C]", choices=("bicubic", "bilinear"))
    cluster_resize: str = number(
        "bicubic",
        "interpolation of the same images where they are clustered and mined [C]",
        choices=("bicubic", "bilinear"),
        formerly=lambda data: data.get("resize", "bicubic"),
    )
    batch_size: int = number(
        128, "images of each modality in a step; visible: half of them plain, half their channel twins [M]"
    )
    num_instances: int = number(16, "images per pseudo identity in a batch [M]")
    jitter: float = number(0.5, "colour jitter: brightness, contrast, saturation and hue, each up to this [C]")
    jitter_everywhere: bool = number(
        False, "jitter every image, not the channel twins alone; TokenMatcher does in stage 2 in any case [C]"
    )
    late_jitter: bool = number(
        True,
        "where the channel twins alone are jittered, do it after crop and mirror, so that the black border counts in "
        "the contrast's mean [C]",
        formerly=lambda _: False,
    )
    pad: int = number(10, "padding before the random crop, pixels [C]", least=0)
    flip_prob: float = number(0.5, "probability of mirroring [C]", most=1)
    erase_prob: float = number(0.5, "probability of random erasing [C]", most=1)
    erase_area: tuple[float, float] = number((0.02, 0.4), "erased share of the image, least and most [C]")
    erase_aspect: tuple[float, float] = number(
        (0.3, 1 / 0.3), "height over width of the erased box, least and most [C]"
    )

    def people(self, modality: Modality) -> int:
        """Pseudo identities in a batch; a visible image fills two places, its own and its twin's."""
        return self.batch_size // self.num_instances // (2 if modality is Modality.VISIBLE else 1)


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """pseudo labels"""

    k1: int = number(30, "nearest neighbours of the k-reciprocal sets, the image itself included [C]")
    k2: int = number(6, "neighbours over which the k-reciprocal vectors are averaged; 1: none [C]")
    eps: float = number(0.6, "DBSCAN radius, Jaccard distance 0..1 [M]")
    min_samples: int = number(4, "DBSCAN: images within eps that make a core [C]")
    neighbour_search: str = number(
        "exact",
        "nearest neighbours of stage 1 and 2; approximate needs faiss and pays from some 100,000 images on [D]",
        choices=("exact", "approximate"),
    )


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """schedule of stage 1 and stage 2"""

    optimizer: str = number(
        "sgd",
        "optimiser; adam adds the weight decay to the gradient, adamw takes it off the weights [C]",
        choices=("sgd", "adam", "adamw"),
    )
    sgd_momentum: float = number(0.9, "momentum of SGD [C]")
    weight_decay: float = number(5e-4, "weight decay [C]")
    epochs: tuple[int, int] = number((50, 50), "epochs of stage 1 and stage 2 [M]")
    iters: tuple[int, int] = number((200, 200), "steps an epoch [C]")
    lr: tuple[float, float] = number((3.5e-4, 3.5e-5), "learning rate at the start [M]")
    lr_min: tuple[float, float] = number((1e-6, 1e-7), "learning rate at the cosine's end [C]")
    decay: str = number(
        "cosine", "how the learning rate falls; steps: at --decay-epochs [C]", choices=("cosine", "steps")
    )
    decay_epochs: tuple[int, ...] = number(
        (20, 40),
        "--decay steps: epochs, from 0, from which on the rate is a tenth of what it was [C]",
        any_length=True,
    )
    stage2_start: str = number(
        "last",
        "stage 1 weights that stage 2 starts from; best was chosen on the test set [D]",
        choices=("last", "best"),
    )
    eval_start: int = number(6, "first epoch, counted from 0, after which the test is run [C]", least=0)
    eval_every: int = number(1, "epochs between tests; the last epoch is always tested [C]")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every number of one run, by topic. A method's own recipe adds groups to these, and rules. The default of
    steps is a method's own on SYSU-MM01 (`tokenmatcher.sizing`).

    SOURCE: what [M] is in the texts of its numbers.
    """

    SOURCE: ClassVar[str] = "[P]"

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    clusters: ClusterConfig = field(default_factory=ClusterConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        for group in fields(self):
            config = getattr(self, group.name)
            for leaf in fields(config):
                _check_leaf(leaf.name, getattr(config, leaf.name), leaf.default, leaf.metadata)
        for holds, message in self.rules():
            if not holds:
                leaves = self._leaves()
                values = [str(leaves[name][0]) for name in re.findall(r"\{(\w+)\}", message) if name in leaves]
                raise SettingError(f"{message}, got {' and '.join(values)}" if values else message)

    def rules(self) -> list[tuple[bool, str]]:
        """What must hold between numbers, and the message where it does not; `{name}` stands for a number's name."""
        model, data, clusters, schedule = self.model, self.data, self.clusters, self.schedule
        return [
            (
                model.height * model.width <= MOST_PIXELS,
                f"{{height}} times {{width}} must not exceed {MOST_PIXELS:,} pixels",
            ),
            *network_rules(model),
            (data.num_instances >= 2, "{num_instances} must be at least 2"),
            (
                data.batch_size % (2 * data.num_instances) == 0 and data.batch_size > 0,
                "{batch_size} must be a multiple of twice {num_instances}",
            ),
            (data.pad <= min(model.height, model.width), "{pad} must not exceed the image"),
            (0 <= data.jitter <= 0.5, "{jitter} must lie in 0..0.5: hue turns by at most half a circle"),
            (0 < data.erase_area[0] <= data.erase_area[1] < 1, "{erase_area} needs 0 < least <= most < 1"),
            (0 < data.erase_aspect[0] <= data.erase_aspect[1], "{erase_aspect} needs 0 < least <= most"),
            (clusters.k1 >= 2, "{k1} must be at least 2"),
            (1 <= clusters.k2 <= clusters.k1, "{k2} must lie in 1..k1"),
            (0 < clusters.eps < 1, "{eps} must lie between 0 and 1: it is a Jaccard distance"),
            (all(lr > 0 for lr in schedule.lr), "{lr} must be positive"),
        ]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        return asdict(self)

    @classmethod
    def from_dict(cls: type[R], values: dict[str, dict[str, Any]]) -> R:
        """The inverse of `to_dict`, also from JSON, where tuples have become lists. What is absent is what it meant
        before it came in, or else the default.

        Raises:
            UserError: a group or leaf is unknown (named), of another kind or out of range.
        """
        if not isinstance(values, dict):
            raise UserError("configuration: no dictionary")
        if unknown := sorted(map(str, values.keys() - {group.name for group in fields(cls)})):
            raise UserError(f"configuration: there is no group {', '.join(unknown)}")
        groups: dict[str, Any] = {}
        for group in fields(cls):
            make: Any = group.default_factory
            default = make()
            given = values.get(group.name, {})
            if not isinstance(given, dict):
                raise UserError(f"configuration: group {group.name!r} is no dictionary")
            if unknown := sorted(map(str, given.keys() - {leaf.name for leaf in fields(default)})):
                raise UserError(f"configuration: group {group.name!r} has no {', '.join(unknown)}")
            given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
            groups[group.name] = replace(default, **{**_formerly(default, given), **given})
        try:
            return cls(**groups)
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise UserError(f"configuration: {error!r}") from None

    def latecomers(self) -> dict[str, Any]:
        """The leaves that came in after the first checkpoints were written, by name."""
        return {name: value for name, (value, leaf) in self._leaves().items() if leaf.metadata["formerly"] is not None}

    def override(self: R, values: dict[str, Any]) -> R:
        """A copy with the named leaves replaced, whichever group they are in.

        Raises:
            ValueError: there is no such leaf.
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
        """`name mine instead of theirs` for every leaf that differs."""
        theirs = other._leaves()
        return [
            f"{name} {value} instead of {theirs[name][0]}"
            for name, (value, _) in self._leaves().items()
            if name in theirs and value != theirs[name][0]
        ]

    def _leaves(self) -> dict[str, tuple[Any, Any]]:
        """Value and field of every leaf, by name."""
        return {
            leaf.name: (getattr(getattr(self, group.name), leaf.name), leaf)
            for group in fields(self)
            for leaf in fields(getattr(self, group.name))
        }


Presets = dict[str, dict[str, Recipe]]
"""A method's recipes by data set and name."""


def network_rules(model: ModelConfig) -> list[tuple[bool, str]]:
    """What must hold between the numbers of a network, as `Recipe.rules`. A configuration holds the numbers of all
    networks; these are of those that its own reads."""
    vit = [
        (model.height % model.patch_size == 0, "{height} must be a multiple of {patch_size}"),
        (model.width % model.patch_size == 0, "{width} must be a multiple of {patch_size}"),
        (
            model.patch_size % 2 == 0 and model.patch_size >= 2,
            "{patch_size} must be even: the stem halves the image",
        ),
        (model.embed_dim % model.num_heads == 0, "{embed_dim} must be a multiple of {num_heads}"),
        (model.stem_channels % 2 == 0, "{stem_channels} must be even: half of them are instance-normalised"),
        (0 <= model.drop_path < 1, "{drop_path} must lie in [0, 1)"),
    ]
    return {
        "token_vit": [*vit, (model.num_tokens >= 2, "{num_tokens} must be at least 2")],
        "two_branch": [*vit, (model.num_tokens == 1, "{num_tokens} must be 1: network two_branch has one class token")],
        "resnet": [],
    }[model.network]


def network_config(values: Any) -> ModelConfig:
    """The network of any method's stored configuration.

    Raises:
        UserError: as `Recipe.from_dict`.
    """
    model = values.get("model") if isinstance(values, dict) else None
    if model is None:
        raise UserError("configuration: no group 'model'")
    return Recipe.from_dict({"model": model, "data": {"pad": 0}}).model  # no network is too small for that


def common_recipe(values: Any) -> Recipe:
    """The numbers that every method has, of any method's stored configuration.

    Raises:
        UserError: as `Recipe.from_dict`.
    """
    names = {group.name for group in fields(Recipe)}
    return Recipe.from_dict({name: group for name, group in dict(values).items() if name in names})


def _formerly(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The leaves of a group that `given` was written without and that did not mean their default then."""
    return {
        leaf.name: leaf.metadata["formerly"](given)
        for leaf in fields(kind)
        if leaf.name not in given and leaf.metadata["formerly"] is not None
    }


def _check_leaf(name: str, value: Any, default: Any, metadata: Any) -> None:
    values, like = (value, default[0]) if isinstance(default, tuple) else ((value,), default)
    where = f"{{{name}}}"
    if isinstance(default, tuple) and not isinstance(value, tuple):
        raise SettingError(f"{where} takes several values, got {{value}}", value=repr(value))
    if isinstance(default, tuple) and not metadata["any_length"] and len(value) != len(default):
        raise SettingError(f"{where} takes {len(default)} values, got {len(value)}")
    for one in values:
        if isinstance(like, str | bool):
            if not isinstance(one, type(like)) or (metadata["choices"] and one not in metadata["choices"]):
                known = f"; choose from {', '.join(metadata['choices'])}" if metadata["choices"] else ""
                raise SettingError(f"{where} cannot be {{value}}{known}", value=repr(one))
            continue
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise SettingError(f"{where} must be a number, got {{value}}", value=repr(one))
        least = metadata["least"] if metadata["least"] is not None else int(isinstance(like, int))
        most = metadata["most"]
        if not least <= one <= (MOST if most is None else most):
            if most is not None:
                allowed = f"lie in {least}..{most}"
            else:
                allowed = f"be at least {least}" if one < least else f"be at most {MOST:.0e}"
            raise SettingError(f"{where} must {allowed}, got {one}")
        if isinstance(like, int) and one != int(one):
            raise SettingError(f"{where} must be a whole number, got {one}")
