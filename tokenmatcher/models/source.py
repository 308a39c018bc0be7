"""A file's tensors by key, and what became of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from tokenmatcher.errors import UserError


class Layout(str, Enum):
    """Whose file it is."""

    OWN = "own"
    AUTHORS = "authors"
    SDCL = "SDCL authors"
    PRETRAINED = "pretrained"
    IMAGENET = "imagenet"


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
        used = f"{self.source}: {self.layout.value} layout, {len(self.used)} tensors used"
        others = {"resized": self.resized, "skipped": self.skipped, "fresh": self.fresh}
        return "; ".join([used, *(f"{name}: {', '.join(families(keys))}" for name, keys in others.items() if keys)])


def families(keys: Iterable[str]) -> list[str]:
    """Keys that differ in their numbers alone as one, `necks.*.bias`; all others as they are."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(re.sub(r"\d+(?=\.)", "*", key), []).append(key)
    return [name if len(members) > 1 else members[0] for name, members in found.items()]


class Source:
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


def numbered(source: Source, prefix: str = "blocks.") -> int:
    """How many modules `prefix0`, `prefix1` ... a file has."""
    return len({key.removeprefix(prefix).split(".")[0] for key in source.tensors if key.startswith(prefix)})
