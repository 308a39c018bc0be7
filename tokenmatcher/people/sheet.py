"""A contact sheet of rendered people, to look at a world before using it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tokenmatcher.people.render import render
from tokenmatcher.people.world import SYSU_INFRARED, SYSU_VISIBLE, World

_MARGIN = 4


def contact_sheet(
    world: World,
    identities: Sequence[int],
    cameras: Sequence[int] = (*SYSU_VISIBLE, *SYSU_INFRARED),
    shots: int = 1,
) -> np.ndarray:
    """Rows are people, columns cameras with `shots` pictures each: (rows, columns, 3) uint8, white gaps."""
    height, width = world.height + _MARGIN, shots * world.width + _MARGIN
    sheet = np.full((len(identities) * height + _MARGIN, len(cameras) * width + _MARGIN, 3), 255, np.uint8)
    for row, identity in enumerate(identities):
        for column, camera in enumerate(cameras):
            strip = np.concatenate([render(world, identity, camera, shot) for shot in range(shots)], axis=1)
            top, left = _MARGIN + row * height, _MARGIN + column * width
            sheet[top : top + world.height, left : left + shots * world.width] = strip
    return sheet
