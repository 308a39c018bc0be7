"""Pictures decoded and resized once, kept as bytes.

A store is one file of (N, 3, H, W) uint8, memory-mapped. Its name carries a digest of what it was
made from (paths, sizes, modification times, target size, interpolation), so a picture that changes
gives another name and the file is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from tokenmatcher.contracts import ImageRecord
from tokenmatcher.errors import UserError
from tokenmatcher.images.pictures import opened
from tokenmatcher.machine import to_device

HALF_DEAD = 3600  # seconds after which a store that nobody has written to is taken for a killed process's
INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def decode(path: Path, height: int, width: int, interpolation: str) -> np.ndarray:
    """One picture as (3, height, width) uint8 RGB, whatever its file's format or colour mode.

    Raises:
        UserError: as `opened`.
    """
    with opened(path) as image:
        return to_pixels(image, height, width, interpolation)


def to_pixels(image: Image.Image, height: int, width: int, interpolation: str) -> np.ndarray:
    """A picture as (3, height, width) uint8 RGB, whatever its colour mode.

    Raises:
        ValueError: floats, or whole numbers of more than 16 bits: nobody knows what is white.
    """
    if image.mode == "F":
        raise ValueError("a picture of floats (mode F): make it one of whole numbers, 0..255")
    if image.mode.startswith("I"):
        image = _eight_bits(np.asarray(image))
    rgb = image.convert("RGB").resize((width, height), INTERPOLATIONS[interpolation])
    return np.ascontiguousarray(np.asarray(rgb, dtype=np.uint8).transpose(2, 0, 1))


def _eight_bits(grey: np.ndarray) -> Image.Image:
    """Grey of 16 bits, which Pillow would clip to white; in mode I, of 32 bits, also what holds 8."""
    if grey.min() < 0 or grey.max() > 65535:
        raise ValueError(f"grey of {grey.min()}..{grey.max()}, and must lie in 0..65535")
    deep = grey.dtype.itemsize == 2 or grey.max() > 255
    return Image.fromarray((grey >> 8 if deep else grey).astype(np.uint8))


class ImageStore:
    """The decoded pictures of a list of records, in its order.

    Attributes:
        images: (N, 3, H, W) uint8; memory-mapped while on the CPU.
    """

    def __init__(self, images: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"a store holds (N, 3, H, W) uint8, got {tuple(images.shape)} {images.dtype}")
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, index: np.ndarray, device: torch.device) -> Tensor:
        """(B, 3, H, W) uint8 on `device`, the pictures `index` (B,) in that order."""
        rows = to_device(np.ascontiguousarray(index), self.images.device)
        if device.type == "cpu" or self.images.is_cuda:
            return self.images.index_select(0, rows).to(device)
        pinned = torch.empty(len(rows), *self.images.shape[1:], dtype=torch.uint8, pin_memory=True)
        return torch.index_select(self.images, 0, rows, out=pinned).to(device, non_blocking=True)

    def to(self, device: torch.device, *, spare_share: float = 0.25) -> ImageStore:
        """The store on `device` if it fits into `spare_share` of its free memory, else itself."""
        if device.type != "cuda" or self.images.numel() > spare_share * torch.cuda.mem_get_info(device)[0]:
            return self
        return ImageStore(self.images.to(device))

    @classmethod
    def open(
        cls,
        records: Sequence[ImageRecord],
        folder: Path,
        label: str,
        *,
        height: int,
        width: int,
        interpolation: str,
        progress: bool = True,
    ) -> ImageStore:
        """Map the store of `records` in `folder`, decoding into it first where needed.

        `label` names the set of pictures; files of the same label and size that no longer match are removed.
        """
        prefix = f"{label}-{height}x{width}-{interpolation}-"
        path = folder / f"{prefix}{_digest(records, height, width, interpolation)}.u8"
        shape = (len(records), 3, height, width)
        size = int(np.prod(shape))
        if not (path.is_file() and path.stat().st_size == size):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _write(records, path, height, width, interpolation, progress=progress, label=label)
                for stale in folder.glob(f"{prefix}*"):
                    half = stale.suffix == ".tmp" and time.time() - stale.stat().st_mtime > HALF_DEAD
                    if half or (stale.suffix == ".u8" and stale != path):
                        stale.unlink(missing_ok=True)
            except OSError as error:
                raise UserError(f"{folder}: cannot keep decoded images there ({error})") from None
        if size == 0:
            return cls(torch.empty(shape, dtype=torch.uint8))
        # Copy on write: PyTorch wants memory that it may write to, and nobody does. PyTorch's own mapping takes no
        # path that is not UTF-8.
        return cls(torch.from_numpy(np.memmap(path, dtype=np.uint8, mode="c", shape=shape)))


def _digest(records: Sequence[ImageRecord], height: int, width: int, interpolation: str) -> str:
    digest = hashlib.sha256(json.dumps([height, width, interpolation]).encode())
    for record in records:
        try:
            status = record.path.stat()
        except OSError:
            raise UserError(f"{record.path}: no such image") from None
        digest.update(os.fsencode(record.path))
        digest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _write(
    records: Sequence[ImageRecord],
    path: Path,
    height: int,
    width: int,
    interpolation: str,
    *,
    progress: bool,
    label: str,
) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
            pending = pool.map(lambda record: decode(record.path, height, width, interpolation), records)
            try:
                for image in tqdm(pending, total=len(records), desc=f"decode {label}", disable=not progress):
                    file.write(image.tobytes())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
