"""Weights from files: our own checkpoints, the authors' trained models, self-supervised starts.

    layout        told by                                   filled from the file
    own           "format": "tokenmatcher"                  everything
    SDCL authors  base.patch_embed2.*                       everything; dead copies are skipped
    authors       visible_module.*, b1.*, bottlenecks.*     everything; dead copies are skipped
    pretrained    patch_embed.*                             both stems, blocks, norms; patch positions resized, necks
                                                            fresh. TokenViT: class tokens all alike, their positions
                                                            fresh; TwoBranchViT: both branches alike
    imagenet      layer1.*                                  both stems, layers; neck and non-local blocks fresh

A file is untrusted: it is read with PyTorch's safe unpickler, and a key that is missing, unexpected, misshapen
or not finite is refused by name. Keys are compared without the prefixes `module.` and `backbone.`.

Legend: T class tokens, D token width, N patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tokenmatcher.errors import UserError
from tokenmatcher.models.base import Network
from tokenmatcher.models.digest import check_digest
from tokenmatcher.models.files import load_file
from tokenmatcher.models.filling import built, fill
from tokenmatcher.models.networks import NETWORKS
from tokenmatcher.models.published import from_authors, from_sdcl
from tokenmatcher.models.resnet_start import from_imagenet
from tokenmatcher.models.source import ImportReport, Layout, Source
from tokenmatcher.models.vit_start import from_pretrained
from tokenmatcher.recipe import ModelConfig, network_config

FORMAT, VERSION = "tokenmatcher", 2

TRAINING_ONLY = ("drop_path", "bn_groups")  # numbers of the network that no file's weights depend on


class Known(NamedTuple):
    """A layout of another program's files.

    told_by: starts of keys, one of which such a file has.
    networks: that it can fill, by name; the first where none is asked for.
    """

    layout: Layout
    told_by: tuple[str, ...]
    networks: tuple[str, ...]
    read: Callable[[Source, ModelConfig | None, torch.Generator | None], tuple[Network, ImportReport]]


LAYOUTS = (  # the first that fits
    Known(Layout.SDCL, ("base.patch_embed2.",), ("two_branch",), lambda source, config, _: from_sdcl(source, config)),
    Known(
        Layout.AUTHORS,
        ("visible_module.", "thermal_module.", "b1.", "bottlenecks."),
        ("token_vit",),
        lambda source, config, _: from_authors(source, config),
    ),
    Known(Layout.PRETRAINED, ("patch_embed.",), ("token_vit", "two_branch"), from_pretrained),
    Known(Layout.IMAGENET, ("layer1.",), ("resnet",), from_imagenet),
)


def load_model(
    path: str | Path, *, config: ModelConfig | None = None, generator: torch.Generator | None = None
) -> tuple[Network, ImportReport]:
    """A model in inference mode, from a file of any known layout; see `build_model`.

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
) -> tuple[Network, ImportReport]:
    """A model in inference mode, from what `load_file` read.

    Args:
        content: the file's dictionary; the weights may lie under `state_dict`, `model` or `teacher`.
        source: what error messages call the file.
        config: the network. Default: the file's own for our checkpoints; read from the shapes, at 384x128 pixels,
            for the authors'; the paper's for a self-supervised start. Of our checkpoints' and the authors' networks
            it can change only what their weights do not depend on (`Network.reads`).
        generator: draws the class tokens' position embeddings that a self-supervised start lacks. Default:
            PyTorch's global one, which is otherwise left as it was.

    Raises:
        UserError: an unknown layout; a key missing, unexpected, misshapen or not finite; a configuration that
            does not fit the file.
    """
    if content.get("format") == FORMAT:
        return _from_own(content, source, config)
    tensors = Source(source, _unwrapped(content))
    known = next((known for known in LAYOUTS if tensors.has(*known.told_by)), None)
    if known is None:
        raise UserError(
            f"{source}: neither our checkpoint, nor a model of TokenMatcher's or SDCL's authors, "
            "nor a self-supervised ViT, nor torchvision's ResNet"
        )
    if config and config.network not in known.networks:
        raise UserError(
            f"{source}: {known.layout.value} layout is for network {' or '.join(known.networks)}, asked for was "
            f"{config.network}"
        )
    return known.read(tensors, config, generator)


def _unwrapped(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    for name in ("state_dict", "model", "teacher"):
        if isinstance(inner := content.get(name), Mapping):
            return inner
    return content


def _from_own(content: Mapping[Any, Any], name: str, config: ModelConfig | None) -> tuple[Network, ImportReport]:
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
    for key in NETWORKS[own.network].reads:
        if config and (asked := getattr(config, key)) != (value := getattr(own, key)):
            raise UserError(f"{name}: its network has {key} {value}, asked for was {asked}")
    source = Source(name, content["model"])
    for field, (claimed, held) in NETWORKS[own.network].sizes(own, source).items():
        if claimed != held:
            raise UserError(f"{name}: its network's {field} means {claimed}, its weights have {held}")
    model = built(config or own, name)
    fill(model, source, lambda key: key)
    return model, ImportReport(source=name, layout=Layout.OWN, used=tuple(source.used), skipped=source.skip())
