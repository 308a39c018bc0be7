"""Weights from files: our own checkpoints, the authors' trained models, self-supervised starts.

    layout        told by                                   filled from the file
    own           "format": "tokenmatcher"                  everything
    authors       visible_module.*, b1.*, bottlenecks.*     everything; dead copies are skipped
    pretrained    patch_embed.*                             both stems, blocks, norm; class tokens all alike,
                                                            patch positions resized, token positions and necks fresh

A file is untrusted: it is read with PyTorch's safe unpickler, and a key that is missing, unexpected, misshapen
or not finite is refused by name. Keys are compared without the prefixes `module.` and `backbone.`.

Legend: T class tokens, D token width, N patches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokenmatcher.errors import UserError
from tokenmatcher.models.backbone import TOKEN_STD, TokenViT
from tokenmatcher.models.digest import check_digest
from tokenmatcher.models.files import load_file
from tokenmatcher.recipe import ModelConfig, network_config

FORMAT, VERSION = "tokenmatcher", 2

TRAINING_ONLY = ("drop_path", "bn_groups")  # numbers of the network that no file's weights depend on
_HEADS = ("head.", "heads.", "projector.", "projection_head.", "predictor.", "prototypes.", "fc.")
_HEAD_WIDTH = 64  # of an attention head, in ViTs of every size


class Layout(str, Enum):
    """Whose file it is."""

    OWN = "own"
    AUTHORS = "authors"
    PRETRAINED = "pretrained"


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What became of every key of a file.

    `used`, `resized` and `skipped` are the file's keys without prefixes; a resized key is used too. `fresh` are
    the model's own keys that the file could not fill.
    """

    source: str
    layout: Layout
    used: tuple[str, ...]
    resized: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.source}: {self.layout.value} layout, {len(self.used)} tensors used"]
        for name in ("resized", "skipped", "fresh"):
            if keys := getattr(self, name):
                shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
                parts.append(f"{name}: {shown}")
        return "; ".join(parts)


class _Source:
    """A file's tensors by key; knows which of them have been taken."""

    def __init__(self, name: str, tensors: Mapping[Any, Any]) -> None:
        self.name = name
        self.tensors: dict[str, Any] = {}
        self.used: dict[str, None] = {}  # in order; a stem's keys are taken twice
        for key, value in tensors.items():
            bare = re.sub(r"^((module|backbone)\.)+", "", str(key))
            if bare in self.tensors:
                raise UserError(f"{name}: key {bare!r} stands there twice, under different prefixes")
            self.tensors[bare] = value

    def has(self, *prefixes: str) -> bool:
        return any(key.startswith(prefixes) for key in self.tensors)

    def shape(self, key: str, dims: int) -> tuple[int, ...]:
        """The shape of a tensor of which only the number of dimensions is known."""
        value = self._tensor(key, f"{dims} dimensions")
        if value.ndim != dims or 0 in value.shape:
            raise UserError(f"{self.name}: key {key!r}: expected {dims} dimensions, found shape {tuple(value.shape)}")
        return tuple(value.shape)

    def take(self, key: str, shape: tuple[int, ...], *, floating: bool = True) -> Tensor:
        """The tensor under `key`, which must be as described and finite."""
        value = self._tensor(key, f"shape {tuple(shape)}")
        if tuple(value.shape) != tuple(shape):
            raise UserError(
                f"{self.name}: key {key!r}: expected shape {tuple(shape)}, found shape {tuple(value.shape)}"
            )
        if value.is_floating_point() != floating or value.is_complex():
            kind = "floating-point numbers" if floating else "integers"
            raise UserError(f"{self.name}: key {key!r}: expected {kind}, found {value.dtype}")
        if floating and not torch.isfinite(value.float()).all():
            raise UserError(f"{self.name}: key {key!r} holds NaN or infinite values")
        self.used[key] = None
        return value

    def skip(self, *prefixes: str) -> tuple[str, ...]:
        """The keys not taken.

        Raises:
            UserError: one of them does not start with any of `prefixes`.
        """
        rest = tuple(key for key in self.tensors if key not in self.used)
        if unknown := [key for key in rest if not key.startswith(prefixes)]:
            raise UserError(f"{self.name}: unexpected key {unknown[0]!r} ({len(unknown)} unexpected in all)")
        return rest

    def _tensor(self, key: str, expected: str) -> Tensor:
        if key not in self.tensors:
            raise UserError(f"{self.name}: key {key!r}: expected {expected}, found no such key")
        value = self.tensors[key]
        dense = isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized
        if not dense or value.device.type != "cpu":
            raise UserError(f"{self.name}: key {key!r}: expected {expected}, found no plain tensor")
        return value


def load_model(
    path: str | Path, *, config: ModelConfig | None = None, generator: torch.Generator | None = None
) -> tuple[TokenViT, ImportReport]:
    """A model in inference mode, from a file of any of the three layouts; see `build_model`.

    Raises:
        UserError: as `load_file` and `build_model`.
    """
    return build_model(load_file(path), source=str(path), config=config, generator=generator)


def build_model(
    content: Mapping[Any, Any],
    *,
    source: str,
    config: ModelConfig | None = None,
    generator: torch.Generator | None = None,
) -> tuple[TokenViT, ImportReport]:
    """A model in inference mode, from what `load_file` read.

    Args:
        content: the file's dictionary; the weights may lie under `state_dict`, `model` or `teacher`.
        source: what error messages call the file.
        config: the network. Default: the file's own for our checkpoints; read from the shapes, at 384x128 pixels,
            for the authors'; the paper's for a self-supervised start. Of our checkpoints' and the authors' networks
            it can change only `TRAINING_ONLY`.
        generator: draws the class tokens' position embeddings that a self-supervised start lacks. Default:
            PyTorch's global one, which is otherwise left as it was.

    Raises:
        UserError: an unknown layout; a key missing, unexpected, misshapen or not finite; a configuration that
            does not fit the file.
    """
    if content.get("format") == FORMAT:
        return _from_own(content, source, config)
    tensors = _Source(source, _unwrapped(content))
    if tensors.has("visible_module.", "thermal_module.", "b1.", "bottlenecks."):
        return _from_authors(tensors, config)
    if tensors.has("patch_embed."):
        return _from_pretrained(tensors, config or ModelConfig(), generator)
    raise UserError(f"{source}: neither our checkpoint, nor the authors' model, nor a self-supervised start")


def to_pretrained_layout(model: TokenViT) -> dict[str, Tensor]:
    """The weights as a self-supervised start, copied: the visible stem and the first class token stand for all.

    For pre-training with one stem (both trained alike, or only the visible one). `build_model` reads it back.

    Returns:
        `cls_token` (1, 1, D), `pos_embed` (1, 1+N, D), `patch_embed.*`, `blocks.*`, `norm.*`.
    """
    state = model.state_dict()
    start = {
        _pretrained_key(key): value.clone()
        for key, value in state.items()
        if not key.startswith(("necks.", "vit.patch_embed.infrared.", "vit.reg_token"))
    }
    positions = state["vit.pos_embed"]
    start["pos_embed"] = torch.cat([positions[:, :1], positions[:, model.config.num_tokens :]], dim=1)
    return start


def _unwrapped(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    for name in ("state_dict", "model", "teacher"):
        if isinstance(inner := content.get(name), Mapping):
            return inner
    return content


def _from_own(content: Mapping[Any, Any], name: str, config: ModelConfig | None) -> tuple[TokenViT, ImportReport]:
    version = content.get("version")
    if version != VERSION:
        raise UserError(f"{name}: checkpoint version {version}, this program reads version {VERSION}")
    check_digest(content, name)
    for part in ("recipe", "model"):
        if not isinstance(content.get(part), Mapping):
            raise UserError(f"{name}: key {part!r}: expected a dictionary, found {type(content.get(part)).__name__}")
    try:
        own = network_config(content["recipe"])
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    for key, value in vars(own).items():
        if config and key not in TRAINING_ONLY and getattr(config, key) != value:
            raise UserError(f"{name}: its network has {key} {value}, asked for was {getattr(config, key)}")
    source = _Source(name, content["model"])
    _check_sizes(own, source)
    model = _build(config or own, name)
    _fill(model, source, lambda key: key)
    return model, ImportReport(source=name, layout=Layout.OWN, used=tuple(source.used), skipped=source.skip())


def _check_sizes(config: ModelConfig, source: _Source) -> None:
    """What a file claims of its network against the tensors it holds, before memory is taken for it.

    Raises:
        UserError: they differ.
    """
    patches = (config.height // config.patch_size) * (config.width // config.patch_size)
    found = {
        "depth": (config.depth, _numbered(source, "vit.blocks.")),
        "num_tokens": (config.num_tokens, _numbered(source, "necks.")),
        "embed_dim": (config.embed_dim, source.shape("vit.cls_token", 3)[2]),
        "mlp_ratio": (int(config.embed_dim * config.mlp_ratio), source.shape("vit.blocks.0.mlp.fc1.weight", 2)[0]),
        "height and width": (config.num_tokens + patches, source.shape("vit.pos_embed", 3)[1]),
        "patch_size": (config.patch_size // 2, source.shape("vit.patch_embed.visible.proj.weight", 4)[2]),
        "stem_channels": (config.stem_channels, source.shape("vit.patch_embed.visible.proj.weight", 4)[1]),
    }
    for field, (claimed, held) in found.items():
        if claimed != held:
            raise UserError(f"{source.name}: its network's {field} means {claimed}, its weights have {held}")


def _from_authors(source: _Source, config: ModelConfig | None) -> tuple[TokenViT, ImportReport]:
    config = config or _authors_config(source)
    if config.depth != _numbered(source):  # one block more, and the dead copy would pass for a live one
        raise UserError(f"{source.name}: keys 'blocks.*': expected {config.depth} blocks, found {_numbered(source)}")
    model = _build(config, source.name)
    last = config.depth - 1
    tokens = source.take("cls_token", (1, config.num_tokens, config.embed_dim))
    _fill(model, source, lambda key: _authors_key(key, last), _class_tokens(tokens))
    skipped = source.skip(f"blocks.{last}.", "norm.", "bottleneck.")
    return model, ImportReport(source=source.name, layout=Layout.AUTHORS, used=tuple(source.used), skipped=skipped)


def _authors_key(key: str, last: int) -> str:
    """Model key -> the authors' key. Their forward pass reads its last block from `b1.0` and its last norm from
    `b1.1`; `blocks.<last>`, `norm` and `bottleneck` are copies that nothing reads."""
    for mine, theirs in (
        ("vit.patch_embed.visible.", "visible_module.visible."),
        ("vit.patch_embed.infrared.", "thermal_module.thermal."),
        (f"vit.blocks.{last}.", "b1.0."),
        ("vit.norm.", "b1.1."),
        ("necks.", "bottlenecks."),
    ):
        if key.startswith(mine):
            return theirs + key.removeprefix(mine)
    return key.removeprefix("vit.")


def _numbered(source: _Source, prefix: str = "blocks.") -> int:
    """How many modules `prefix0`, `prefix1` ... a file has. In an authors' one the dead copy of the last transformer
    block is still there to be counted."""
    return len({key.removeprefix(prefix).split(".")[0] for key in source.tensors if key.startswith(prefix)})


def _authors_config(source: _Source) -> ModelConfig:
    """The network that the shapes tell of, at the paper's image size."""
    _, num_tokens, width = source.shape("cls_token", 3)
    if width % _HEAD_WIDTH:
        raise UserError(f"{source.name}: key 'cls_token': width {width} does not tell the number of attention heads")
    config = ModelConfig(
        num_tokens=num_tokens,
        embed_dim=width,
        num_heads=width // _HEAD_WIDTH,
        depth=_numbered(source),
        mlp_ratio=source.shape("b1.0.mlp.fc1.weight", 2)[0] / width,
        stem_channels=source.shape("visible_module.visible.conv.0.weight", 4)[0],
        patch_size=2 * source.shape("visible_module.visible.proj.weight", 4)[2],
    )
    found = source.shape("pos_embed", 3)[1] - num_tokens
    if found != (config.height // config.patch_size) * (config.width // config.patch_size):
        raise UserError(
            f"{source.name}: key 'pos_embed': {found} patches of {config.patch_size} pixels are not those of "
            f"a {config.height}x{config.width} image; its size must be given"
        )
    return config


def _from_pretrained(
    source: _Source, config: ModelConfig, generator: torch.Generator | None
) -> tuple[TokenViT, ImportReport]:
    model = _build(config, source.name)
    count, width = config.num_tokens, config.embed_dim
    token = source.take("cls_token", (1, 1, width))
    length = source.shape("pos_embed", 3)[1]
    patches = source.take("pos_embed", (1, length, width))[:, 1:].float()
    target = model.vit.patch_embed.grid_size
    grid = _source_grid(patches.shape[1], target, source.name)
    if grid != target:
        patches = F.interpolate(
            patches.transpose(1, 2).unflatten(2, grid), size=target, mode="bilinear", align_corners=False
        )
        patches = patches.flatten(2).transpose(1, 2)
    positions = torch.empty(1, count, width)
    nn.init.trunc_normal_(positions, std=TOKEN_STD, a=-2.0, b=2.0, generator=generator)
    necks = {key: value for key, value in model.state_dict().items() if key.startswith("necks.")}
    _fill(
        model,
        source,
        _pretrained_key,
        {
            **_class_tokens(token.expand(-1, count, -1)),
            "vit.pos_embed": torch.cat([positions, patches], dim=1),
            **necks,
        },
    )
    return model, ImportReport(
        source=source.name,
        layout=Layout.PRETRAINED,
        used=tuple(source.used),
        resized=("pos_embed",) if grid != target else (),
        skipped=source.skip(*_HEADS),
        fresh=(f"vit.pos_embed[:, :{count}]", *necks),
    )


def _pretrained_key(key: str) -> str:
    """Model key -> the key of a self-supervised start, whose one stem fills both."""
    return re.sub(r"^vit\.(patch_embed\.)?(visible\.|infrared\.)?", r"\1", key)


def _source_grid(patches: int, target: tuple[int, int], name: str) -> tuple[int, int]:
    """(rows, columns) of `patches` patches: the target's own, else of a picture twice as high as wide (as those of
    the published start, 256x128), else of the target's proportions.

    Raises:
        UserError: none of these has that many patches.
    """
    rows, columns = target
    if patches == rows * columns:
        return target
    for ratio in (2.0, rows / columns):
        across = round((patches / ratio) ** 0.5)
        down = round(across * ratio)
        if across and down * across == patches and down == across * ratio:
            return down, across
    raise UserError(
        f"{name}: key 'pos_embed': its {patches} patches form no grid twice as high as wide, "
        f"nor one in the proportions of {rows}x{columns}"
    )


def _class_tokens(tokens: Tensor) -> dict[str, Tensor]:
    """(1, T, D) as timm holds them: one class token, and register tokens if there are more."""
    parts = {"vit.cls_token": tokens[:, :1], "vit.reg_token": tokens[:, 1:]}
    return {key: part for key, part in parts.items() if part.shape[1]}


def _build(config: ModelConfig, name: str) -> TokenViT:
    """A model in inference mode whose weights are to be overwritten; PyTorch's global generator is left alone."""
    try:
        with torch.random.fork_rng(devices=[]):
            return TokenViT(config).eval()
    except (ValueError, AssertionError, RuntimeError, MemoryError) as error:
        raise UserError(f"{name}: no such network: {error}") from None


def _fill(
    model: TokenViT, source: _Source, file_key: Callable[[str], str], ready: Mapping[str, Tensor] | None = None
) -> None:
    """Set every parameter and buffer: from `ready`, else from the file's key of it."""
    state = dict(ready or {})
    for key, value in model.state_dict().items():
        if key not in state:
            state[key] = source.take(file_key(key), tuple(value.shape), floating=value.is_floating_point())
    model.load_state_dict(state)
