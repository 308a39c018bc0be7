"""The pictures of one modality, with what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.data.store import ImageStore


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Decoded pictures of one modality.

    cameras, identities: (N,) int64. The identities are the true ones, for scores and logs only.
    paths: of the N files.
    """

    modality: Modality
    store: ImageStore
    cameras: np.ndarray
    identities: np.ndarray
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.store)

    def to(self, device: torch.device) -> ImageSet:
        """The set with its pictures on `device` where they fit, see `ImageStore.to`."""
        return replace(self, store=self.store.to(device))

    @classmethod
    def load(
        cls,
        records: Sequence[ImageRecord],
        modality: Modality,
        folder: Path,
        label: str,
        *,
        height: int,
        width: int,
        interpolation: str,
        progress: bool = True,
    ) -> ImageSet:
        """Decode `records` (or map what was decoded before) into `folder`; see `ImageStore.open`."""
        store = ImageStore.open(
            records, folder, label, height=height, width=width, interpolation=interpolation, progress=progress
        )
        return cls(
            modality,
            store,
            np.array([record.camera for record in records], dtype=np.int64),
            np.array([record.identity for record in records], dtype=np.int64),
            tuple(record.path for record in records),
        )
