"""What a camera sees behind the people: a corridor or a street, wider than any picture taken of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from tokenmatcher.people.world import INDOOR, Spectrum, Stream, World

_SURFACES = 24


def _layout(random: np.random.Generator, indoor: bool, height: int, width: int) -> np.ndarray:
    """Map of surfaces, (height, width) uint8: 0 wall, 1 floor, 2.. everything else."""
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    floor = float(int(height * random.uniform(0.5, 0.66)))
    draw.rectangle((0, floor, width, height), fill=1)
    # Tiles or paving.
    for row in np.geomspace(0.02, 1.0, 6):
        y = float(floor + row * (height - floor))
        draw.line((0, y, width, y), fill=2, width=max(1, height // 130))
    for x in np.arange(0, 2 * width, height * 0.35):
        draw.line((x - width * 0.5, height, (x - width * 0.5) * 0.7 + width * 0.15, floor), fill=2, width=1)
    for number in range(14 if indoor else 20):
        ink = 3 + int(random.integers(_SURFACES - 3))
        x, breadth = random.uniform(0, width), height * random.uniform(0.08, 0.32)
        kind = random.random()
        if kind < 0.35:  # door, window, poster, shop front
            top = height * random.uniform(0.0, 0.3)
            bottom = floor if random.random() < 0.5 else top + height * random.uniform(0.1, 0.25)
            draw.rectangle((x, min(top, bottom), x + breadth, max(top, bottom)), fill=ink)
            draw.rectangle((x, min(top, bottom), x + breadth, max(top, bottom)), outline=2, width=max(1, height // 90))
        elif kind < 0.55:  # pillar, post
            draw.rectangle((x, 0, x + breadth * 0.3, floor + height * 0.02), fill=ink)
        elif kind < 0.8 and not indoor:  # bush, tree
            y = floor - height * random.uniform(-0.05, 0.2)
            for _ in range(5):
                dx, dy = random.normal(0, breadth * 0.5, 2)
                draw.ellipse(
                    (x + dx - breadth / 2, y + dy - breadth / 3, x + dx + breadth / 2, y + dy + breadth / 3), fill=ink
                )
        elif kind < 0.8:  # bench, bin, box
            draw.rectangle((x, floor - breadth * 0.7, x + breadth, floor + breadth * 0.25), fill=ink)
        elif not indoor:  # parked car
            y = floor + height * random.uniform(-0.05, 0.1)
            draw.rounded_rectangle((x, y - breadth * 0.5, x + breadth * 2.2, y), radius=breadth * 0.15, fill=ink)
            draw.rounded_rectangle(
                (x + breadth * 0.4, y - breadth * 0.85, x + breadth * 1.7, y - breadth * 0.4),
                radius=breadth * 0.2,
                fill=3 + (ink + number) % (_SURFACES - 3),
            )
        else:  # notice on the wall, mark on the floor
            y = floor + height * random.uniform(0.05, 0.3)
            draw.polygon(
                ((x, y), (x + breadth, y), (x + breadth * 1.3, y + breadth * 0.3), (x, y + breadth * 0.3)), fill=ink
            )
    return np.asarray(image)


@lru_cache(maxsize=16)
def scene_of(world: World, camera: int, spectrum: Spectrum) -> np.ndarray:
    """The whole scene: (1.3 heights, 12 widths or more, 3 visible or 1 infrared channel) float32 in 0..1, read-only.

    The place is the same in every spectrum; infrared has greys of its own.
    """
    random = world.random(Stream.SCENE, camera)
    height, width = int(world.height * 1.3), max(int(world.height * 5), world.width * 12)
    layout = _layout(random, camera in INDOOR, height, width)
    tint = random.uniform(-0.05, 0.05, 3)
    luminance = random.uniform(0.15, 0.85, _SURFACES)
    luminance[:3] = random.uniform(0.45, 0.8), random.uniform(0.3, 0.6), random.uniform(0.2, 0.4)
    colours = np.clip(luminance[:, None] + tint + random.normal(0, 0.07, (_SURFACES, 3)), 0.03, 0.97)
    near = np.clip(0.5 * luminance + 0.5 * random.uniform(0.05, 0.7, _SURFACES), 0.03, 0.9)
    thermal = random.uniform(0.08, 0.3, _SURFACES)
    # Stains wider than tall, with finer grain on top.
    stains = random.normal(0, 1, (height // 12 + 1, width // 24 + 1))
    grain = random.normal(0, 0.5, (height // 3 + 1, width // 3 + 1))
    tables = {Spectrum.VISIBLE: colours, Spectrum.NEAR: near[:, None], Spectrum.THERMAL: thermal[:, None]}
    scene = tables[spectrum].astype(np.float32)[layout]
    texture = np.zeros((height, width), dtype=np.float32)
    for field in (stains, grain):
        smooth = Image.fromarray(field.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        texture += np.asarray(smooth, dtype=np.float32)
    amount = 0.03 if spectrum is Spectrum.THERMAL else 0.08
    scene *= np.clip(1 + amount * texture, 0.5, 1.5)[:, :, None]
    scene.setflags(write=False)
    return scene
