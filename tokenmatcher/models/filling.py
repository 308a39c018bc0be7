"""An untrained network whose weights are set from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tokenmatcher.errors import UserError
from tokenmatcher.models.base import Network
from tokenmatcher.models.networks import build_network
from tokenmatcher.models.source import Source
from tokenmatcher.recipe import ModelConfig


def built(config: ModelConfig, name: str) -> Network:
    """A model in inference mode whose weights are to be overwritten; PyTorch's global generator is left alone."""
    try:
        with torch.random.fork_rng(devices=[]):
            return build_network(config).eval()
    except (ValueError, AssertionError, RuntimeError, MemoryError) as error:
        raise UserError(f"{name}: no such network: {error}") from None


def fill(
    model: Network, source: Source, file_key: Callable[[str], str], ready: Mapping[str, Tensor] | None = None
) -> None:
    """Set every parameter and buffer: from `ready`, else from the file's key of it."""
    state = dict(ready or {})
    for key, value in model.state_dict().items():
        if key not in state:
            state[key] = source.take(file_key(key), tuple(value.shape), floating=value.is_floating_point())
    model.load_state_dict(state)
