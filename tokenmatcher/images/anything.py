"""Pictures however a program holds them: files, folders, PIL images, arrays, tensors.

Legend: B images, H and W height and width in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from tokenmatcher.errors import UserError
from tokenmatcher.images.pictures import IMAGE_SUFFIXES
from tokenmatcher.images.store import decode, to_pixels

Picture = str | Path | Image.Image | np.ndarray | Tensor
"""A file; a PIL image, not of floats; (H, W, 3) or (H, W) uint8 array; (3, H, W) tensor, uint8 or float of 0..1."""


def pictures_in(folder: str | Path) -> list[Path]:
    """All images in a folder and the folders in it, sorted; hidden files and folders are passed over. Features of the
    folder (`TokenMatcher.embed`) come in this order.

    Raises:
        UserError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read {error.filename or folder}: {error.strerror}") from None

    found = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
    return sorted(found)


def each_picture(pictures: Picture | Iterable[Picture]) -> Iterator[Picture]:
    """One by one: of a folder all images in it, of a batch (B, ...) each, of a list what it holds.

    Raises:
        UserError: a folder cannot be read.
        ValueError: something that is neither a picture nor holds some; a folder without any.
    """
    if isinstance(pictures, str | Path):
        path = Path(pictures)
        found = pictures_in(path) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"{path}: holds no picture")
        yield from found
    elif isinstance(pictures, Image.Image) or (isinstance(pictures, np.ndarray | Tensor) and pictures.ndim < 4):
        yield pictures
    elif isinstance(pictures, bytes | Mapping) or not isinstance(pictures, Iterable):
        raise ValueError(f"a {type(pictures).__name__} is no picture")
    else:
        for picture in pictures:
            yield from each_picture(picture)


def as_pixels(picture: Picture, height: int, width: int, interpolation: str) -> np.ndarray:
    """(3, height, width) uint8 RGB.

    Raises:
        UserError: a file that cannot be read as an image; names it.
        ValueError: an image, array or tensor of another kind than `Picture` says.
    """
    if isinstance(picture, str | Path):
        return decode(Path(picture), height, width, interpolation)
    if isinstance(picture, Tensor):
        if picture.ndim != 3 or picture.shape[0] != 3:
            raise ValueError(f"an image tensor must be (3, H, W), got {tuple(picture.shape)}")
        values = picture.detach().cpu()
        if values.is_floating_point():
            if not bool(((values >= 0) & (values <= 1)).all()):
                raise ValueError("a float image must lie in 0..1")
            values = (values * 255).round().byte()
        picture = values.numpy().transpose(1, 2, 0)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] != 3):
            raise ValueError(f"an image array must be (H, W, 3) or (H, W) uint8, got {picture.shape} {picture.dtype}")
        picture = Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise ValueError(f"a {type(picture).__name__} is no picture")
    if not picture.width or not picture.height:
        raise ValueError(f"an image of {picture.height} x {picture.width} has no pixels")
    return to_pixels(picture, height, width, interpolation)
