"""A digest inside our checkpoints: PyTorch's loader does not notice a changed byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tokenmatcher.errors import UserError

DIGEST = "digest"


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of everything in a checkpoint but the digest itself: keys, numbers, texts, tensors bit by bit."""
    digest = hashlib.sha256()
    _feed(digest, {key: value for key, value in content.items() if key != DIGEST})
    return digest.hexdigest()


def check_digest(content: Mapping[str, Any], name: str) -> None:
    """Compare a checkpoint with its digest; `name` is the file's.

    Raises:
        UserError: they differ: the file was damaged.
    """
    try:
        agrees = content.get(DIGEST) == digest_of(content)
    except (RuntimeError, TypeError, NotImplementedError):  # tensors of a kind that we never write
        agrees = False
    if not agrees:
        raise UserError(f"{name}: damaged: its content does not agree with the digest inside")


def _feed(digest: Any, value: Any) -> None:
    # Every value is led by its kind and size, so that no two contents feed the same bytes.
    if isinstance(value, Tensor):
        data = value.detach().cpu()
        if data.layout is not torch.strided:
            data = data.to_dense()
        digest.update(f"tensor {value.layout} {data.dtype} {tuple(data.shape)};".encode())
        data = data.contiguous()
        digest.update(data.flatten().view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"dict {len(value)};".encode())
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)};".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r};".encode(errors="surrogatepass"))
