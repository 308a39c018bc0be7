"""The pictures of one modality, with what is known of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.images.store import ImageStore


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Decoded pictures of one modality.

    cameras, identities: (N,) int64. The identities are the true ones, for scores and logs only.
    paths: of the N files.
    cluster_store: the same pictures, resized in another way for clustering and mining; None: `store` serves for both.
    """

    modality: Modality
    store: ImageStore
    cameras: np.ndarray
    identities: np.ndarray
    paths: tuple[Path, ...]
    cluster_store: ImageStore | None = None

    def __len__(self) -> int:
        return len(self.store)

    def to(self, device: torch.device) -> ImageSet:
        """The set with its pictures on `device` where they fit, see `ImageStore.to`."""
        other = None if self.cluster_store is None else self.cluster_store.to(device)
        return replace(self, store=self.store.to(device), cluster_store=other)

    @property
    def clustered(self) -> ImageStore:
        """The pictures as clustering and mining see them."""
        return self.store if self.cluster_store is None else self.cluster_store

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
        cluster_interpolation: str | None = None,
        progress: bool = True,
    ) -> ImageSet:
        """Decode `records` (or map what was decoded before) into `folder`; see `ImageStore.open`.

        `cluster_interpolation`: of the pictures that clustering sees, where it is another one.
        """

        def opened(interpolation: str) -> ImageStore:
            return ImageStore.open(
                records, folder, label, height=height, width=width, interpolation=interpolation, progress=progress
            )

        cluster_store = None
        if cluster_interpolation is not None and cluster_interpolation != interpolation:
            cluster_store = opened(cluster_interpolation)
        return cls(
            modality,
            opened(interpolation),
            np.array([record.camera for record in records], dtype=np.int64),
            np.array([record.identity for record in records], dtype=np.int64),
            tuple(record.path for record in records),
            cluster_store,
        )


def listing_of(images: Mapping[Modality, ImageSet]) -> str:
    """A digest of which files the images are, in which order, and by which camera each was taken. It stays when their
    folder is moved, or when the cameras' numbers change and their order does not."""
    names = {m: [str(path) for path in own.paths] for m, own in images.items()}
    folder = os.path.commonpath({os.path.dirname(name) for own in names.values() for name in own})  # noqa: PTH120
    digest = hashlib.sha256()
    for m, own in names.items():
        digest.update(f"{m.value}\0".encode())
        digest.update("\0".join(name[len(folder) :] for name in own).encode("utf-8", "surrogateescape"))
        digest.update(np.unique(images[m].cameras, return_inverse=True)[1].astype(np.int64).tobytes())
    return digest.hexdigest()
