"""Opening a picture that may be anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from tokenmatcher.errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
# What these stand for. Pillow knows others, some of which it hands to outside programs.
FORMATS = ("JPEG", "PNG", "BMP", "DIB")
MOST_PIXELS = 50_000_000  # 150 MB decoded; both data sets' pictures have some 10,000 to 100,000


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture whose header is read; errors while the body decodes it are told alike.

    Raises:
        UserError: the file is missing, truncated, no picture of ours, or absurdly large; names it.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 (False, not an error)
        raise UserError(f"{path}: not a regular file")  # a pipe would be waited for without end
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{path}: {image.width}x{image.height} pixels, more than {MOST_PIXELS:,} are refused")
            yield image
    except FileNotFoundError:
        raise UserError(f"{path}: no such image") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: refused: {error}") from None
    except (OSError, ValueError, SyntaxError) as error:
        size = f", {path.stat().st_size} bytes" if path.is_file() else ""
        raise UserError(f"{path}: cannot be read as an image ({error}{size})") from None
