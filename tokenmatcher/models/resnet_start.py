"""Torchvision's ImageNet weights as the start of a two-stem ResNet."""

from __future__ import annotations

import torch
from torch import Tensor

from tokenmatcher.models.filling import built, fill
from tokenmatcher.models.resnet import TwoStemResNet
from tokenmatcher.models.source import ImportReport, Layout, Source
from tokenmatcher.recipe import ModelConfig

_STEMS = ("visible.", "infrared.")


def from_imagenet(
    source: Source, config: ModelConfig | None, _generator: torch.Generator | None
) -> tuple[TwoStemResNet, ImportReport]:
    """The file's one stem fills both; the neck and non-local blocks are fresh; the classifier is left out.

    Raises:
        UserError: a key is missing, unexpected, misshapen or not finite.
    """
    model = built(config or ModelConfig(network="resnet", height=288, width=144), source.name)
    assert isinstance(model, TwoStemResNet)
    fresh: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        # Files of before PyTorch 0.4.1 have no counts of batches, which nothing here reads.
        counts = key.endswith("num_batches_tracked") and not source.has(imagenet_key(key))
        if key.startswith("necks.") or ".non_local" in key or counts:
            fresh[key] = value
    fill(model, source, imagenet_key, fresh)
    return model, ImportReport(
        source=source.name,
        layout=Layout.IMAGENET,
        used=tuple(source.used),
        skipped=source.skip("fc."),
        fresh=tuple(key for key in fresh if not key.endswith("num_batches_tracked")),
    )


def imagenet_key(key: str) -> str:
    """Model key -> torchvision's."""
    for stem in _STEMS:
        key = key.removeprefix(stem)
    return key
