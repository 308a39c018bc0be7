"""Pictures for a page: small JPEGs, each held once however often it is shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from tokenmatcher.images.pictures import opened

HEIGHT, WIDEST = 116, 84  # pixels
QUALITY = 80
RIGHT, WRONG, UNKNOWN_FRAME, QUERY = "#138a45", "#d0312d", "#808080", "#2f86c9"
FRAME, GAP = 4, 6  # pixels


class Picture(NamedTuple):
    """A data URL; ratio: width over height, so that a page keeps the place before it is drawn."""

    url: str
    ratio: float


class Pictures:
    """By id.

    Attributes:
        made: what was asked for.
    """

    def __init__(self) -> None:
        self.made: dict[str, Picture] = {}
        self._ids: dict[tuple[Path, int], str] = {}

    def of(self, path: Path, height: int = HEIGHT) -> str:
        """The id of a file's picture, at most `height` pixels high.

        Raises:
            UserError: it cannot be read as an image.
        """
        key = path, height
        if key not in self._ids:
            self._ids[key] = self._added(small(path, height))
        return self._ids[key]

    def add(self, image: Image.Image) -> str:
        """The id of a picture that was made."""
        return self._added(image)

    def _added(self, image: Image.Image) -> str:
        name = f"p{len(self.made)}"
        self.made[name] = Picture(data_url(image), round(image.width / image.height, 4))
        return name


def small(path: Path, height: int = HEIGHT) -> Image.Image:
    """A file's picture, at most `height` pixels high, never enlarged."""
    with opened(path) as image:
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        found = image.convert("RGB")
    found.thumbnail((WIDEST * height // HEIGHT, height), Image.Resampling.LANCZOS)
    return found


def data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def overlaid(image: Image.Image, shares: np.ndarray) -> Image.Image:
    """A picture with the attention of a token over it: dark where it does not look, glowing where it does.

    Args:
        shares: (R, C) over its patches, scaled here so that the largest is 1.
    """
    scaled = (255 * shares / max(float(shares.max()), 1e-12)).astype(np.uint8)
    mask = np.asarray(Image.fromarray(scaled).resize(image.size, Image.Resampling.BICUBIC), dtype=np.float32) / 255
    grey = np.asarray(ImageOps.grayscale(image), dtype=np.float32)[..., None] / 255
    glow = np.stack([np.clip(1.6 * mask, 0, 1), np.clip(1.8 * mask - 0.55, 0, 1), np.clip(2.2 * mask - 1.5, 0, 1)], 2)
    weight = (0.15 + 0.7 * mask)[..., None]
    mixed = (1 - weight) * grey * 0.9 + weight * glow
    return Image.fromarray((255 * np.clip(mixed, 0, 1)).astype(np.uint8))


def sheet(rows: Sequence[Sequence[tuple[Image.Image, str]]], height: int = 2 * HEIGHT) -> bytes:
    """PNG of rows of pictures, each with a frame of a colour ("" for none)."""
    scaled = []
    for row in rows:
        own = []
        for image, colour in row:
            width = max(1, round(image.width * height / image.height))
            picture = image.resize((width, height), Image.Resampling.LANCZOS)
            own.append(ImageOps.expand(picture, FRAME, colour or "white"))
        scaled.append(own)
    width = max((sum(one.width + GAP for one in row) for row in scaled), default=GAP) + GAP
    full = Image.new("RGB", (width, max(1, len(scaled)) * (height + 2 * FRAME + GAP) + GAP), "white")
    y = GAP
    for own in scaled:
        x = GAP
        for one in own:
            full.paste(one, (x, y))
            x += one.width + GAP
        y += height + 2 * FRAME + GAP
    buffer = io.BytesIO()
    full.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
