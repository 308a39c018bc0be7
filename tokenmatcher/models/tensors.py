"""Our checkpoints as safetensors files: weights alone, read without running anything.

Everything of a checkpoint but weights and training state stands as JSON in the file's metadata, under `tokenmatcher`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tokenmatcher.errors import UserError
from tokenmatcher.models.digest import DIGEST, digest_of

SUFFIX = ".safetensors"
OURS = "tokenmatcher"  # in the metadata
LEFT_OUT = ("model", "run", DIGEST)  # of a checkpoint: `run` serves for training alone


def tensor_bytes(content: Mapping[str, Any], state: Mapping[str, Tensor]) -> bytes:
    """A safetensors file of the weights `state`, with the rest of a checkpoint's `content`."""
    rest = {key: value for key, value in content.items() if key not in LEFT_OUT}
    weights = {key: value.detach().cpu().contiguous() for key, value in sorted(state.items())}
    # A digest over what will be read: JSON has lists alone.
    rest = json.loads(json.dumps(rest))
    rest[DIGEST] = digest_of({**rest, "model": weights})
    return save(weights, metadata={"format": "pt", OURS: json.dumps(rest)})


def load_tensors(path: Path) -> dict[str, Any]:
    """A checkpoint's content from a safetensors file of ours; from any other its tensors by name.

    Raises:
        UserError: not a safetensors file, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in sorted(file.keys())}
        rest = json.loads(metadata[OURS]) if OURS in metadata else None
    except (SafetensorError, ValueError, RecursionError):
        raise UserError(f"{path}: not a safetensors file, or damaged") from None
    if rest is None:
        return weights
    if not isinstance(rest, dict):
        raise UserError(f"{path}: its metadata is not a checkpoint's")
    return {**rest, "model": weights}
