"""From a world, an identity, a camera and a shot number to pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from tokenmatcher.contracts import Modality
from tokenmatcher.people.figure import draw_figure
from tokenmatcher.people.pen import SHADES, Arms, Pose, View
from tokenmatcher.people.person import Person, person_of, stranger_of
from tokenmatcher.people.scene import scene_of
from tokenmatcher.people.sensor import develop
from tokenmatcher.people.world import Camera, Spectrum, Stream, World, camera_of, spectrum_of

_SUPERSAMPLING = 2


def _pose(random: np.random.Generator, camera: Camera, person: Person, world: World) -> Pose:
    """A pose in a jittery bounding box; lengths in supersampled pixels."""
    height, width = world.height * _SUPERSAMPLING, world.width * _SUPERSAMPLING
    view = list(View)[int(random.choice(4, p=camera.facing))]
    arms = list(Arms)[int(random.choice(3, p=(0.76, 0.1, 0.14)))]
    unit = height * camera.fill * (0.4 + 0.6 * person.stature) * random.uniform(0.9, 1.05)
    return Pose(
        view=view,
        phase=float(random.uniform(0, 2 * np.pi)),
        stride=float(random.uniform(0.35, 1.0)),
        arms=arms,
        centre=float(width * (0.5 + random.normal(0, 0.075))),
        top=float((height - unit) * 0.55 + height * (0.005 + random.normal(0, 0.025))),
        unit=float(unit),
        pitch=float(camera.pitch + random.normal(0, 0.02)),
        lean=float(random.normal(0, 0.015)),
    )


def _paint(figure: np.ndarray, person: Person, spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Map of parts to (H, W, C) float32 premultiplied colour and (H, W, 1) coverage, at half the map's size."""
    channels = 3 if spectrum is Spectrum.VISIBLE else 1
    table = np.zeros((64, channels + 1), dtype=np.float32)
    for part, surface in person.surfaces.items():
        for shade, factor in enumerate(SHADES):
            # Heat does not care for the light's direction, so shades are weaker there.
            strength = 0.75 + 0.25 * factor if spectrum is Spectrum.THERMAL else factor
            table[part | shade << 4, :channels] = np.multiply(surface.seen_by(spectrum), strength)
            table[part | shade << 4, channels] = 1
    table *= 1 / _SUPERSAMPLING**2
    rows, columns = slice(0, None, 2), slice(1, None, 2)
    pixels = table[figure[rows, rows]]
    for y, x in ((rows, columns), (columns, rows), (columns, columns)):
        pixels += table[figure[y, x]]
    return pixels[..., :channels], pixels[..., channels:]


def _relief(coverage: np.ndarray, camera: Camera, centre: float, scale: float, spectrum: Spectrum) -> np.ndarray:
    """(H, W, 1) brightness of a round body: darker at its rim and on the side away from the light."""
    mask = Image.fromarray((coverage[..., 0] * 255).astype(np.uint8))
    depth = np.asarray(mask.filter(ImageFilter.BoxBlur(3 * scale)), dtype=np.float32)[..., None] / 255
    across = (np.arange(coverage.shape[1], dtype=np.float32) - centre) / coverage.shape[1]
    lit = 1 + (0.0 if spectrum is Spectrum.THERMAL else 0.5) * camera.light * across[None, :, None]
    return (0.62 + 0.42 * depth) * lit


def _put(
    picture: np.ndarray,
    random: np.random.Generator,
    world: World,
    camera: Camera,
    who: Person,
    pose: Pose,
    spectrum: Spectrum,
) -> None:
    """Draw somebody, and the shadow at their feet, into `picture` (H, W, C) float32 in place."""
    figure = draw_figure(who, pose, world.height * _SUPERSAMPLING, world.width * _SUPERSAMPLING)
    colour, coverage = _paint(figure, who, spectrum)
    centre, foot = pose.centre / _SUPERSAMPLING, (pose.top + pose.unit) / _SUPERSAMPLING
    scale = world.height / 128
    if spectrum is not Spectrum.THERMAL:
        y = (np.arange(world.height, dtype=np.float32)[:, None] - foot) / (4 * scale)
        x = (np.arange(world.width, dtype=np.float32)[None, :] - centre - 4 * scale * camera.light) / (12 * scale)
        picture *= 1 - 0.5 * np.exp(-(y**2) - x**2)[..., None]
    folds = random.normal(1.0, 0.09, (10, 5)).astype(np.float32)
    wrinkles = np.asarray(
        Image.fromarray(folds).resize((world.width, world.height), Image.Resampling.BILINEAR), dtype=np.float32
    )
    colour = colour * _relief(coverage, camera, centre, scale, spectrum) * wrinkles[..., None]
    picture *= 1 - coverage
    picture += colour


def _occlude(picture: np.ndarray, random: np.random.Generator, spectrum: Spectrum) -> None:
    """Put a post, a barrier or a hedge before the person, in place."""
    height, width = picture.shape[:2]
    tone = random.uniform(0.1, 0.7) * (0.3 if spectrum is Spectrum.THERMAL else 1.0)
    grey = np.full(picture.shape[2], tone, dtype=np.float32) * random.uniform(0.8, 1.2, picture.shape[2])
    kind = random.random()
    if kind < 0.4:
        left, breadth = int(random.uniform(-0.05, 0.9) * width), int(random.uniform(0.15, 0.35) * width)
        picture[:, max(left, 0) : left + breadth] = grey
    elif kind < 0.8:
        top = int(height * random.uniform(0.55, 0.8))
        picture[top:] = grey
        picture[top : top + max(1, height // 40)] = grey * 0.6
    else:
        top = int(height * random.uniform(0.4, 0.7))
        for bar in range(3):
            picture[top + bar * height // 10 : top + bar * height // 10 + height // 24] = grey


def _background(random: np.random.Generator, world: World, camera: int, spectrum: Spectrum) -> np.ndarray:
    """A random piece of the camera's scene: a fresh (H, W, C) float32."""
    scene = scene_of(world, camera, spectrum)
    top = int(random.integers(0, scene.shape[0] - world.height + 1))
    left = int(random.integers(0, scene.shape[1] - world.width + 1))
    piece = scene[top : top + world.height, left : left + world.width]
    return piece * np.float32(random.uniform(0.75, 1.25))


def render(world: World, identity: int, camera: int, shot: int, modality: Modality | None = None) -> np.ndarray:
    """One picture of a person.

    Args:
        world: the world.
        identity: number of the person, 0 or larger.
        camera: 1..6 as in SYSU-MM01, 7 and 8 for RegDB's visible and thermal camera, 9..17 for LLCM's.
        shot: number of the picture, 0 or larger; another number, another pose and piece of background.
        modality: sensor to look through; None for the camera's own. The other one shows the same moment.

    Returns:
        (height, width, 3) uint8, red, green, blue; three equal channels for infrared.
    """
    spectrum, lens = spectrum_of(camera, modality), camera_of(world, camera)
    person = person_of(world, identity)
    random = world.random(Stream.SHOT, identity, camera, shot)
    pose = _pose(random, lens, person, world)
    hidden, company = random.random() < world.occlusion, random.random() < 0.2
    picture = _background(random, world, camera, spectrum)
    if company:
        other = stranger_of(world, random)
        shift = random.choice((-1.0, 1.0)) * random.uniform(0.3, 0.55) * world.width * _SUPERSAMPLING
        away = _pose(random, lens, other, world)
        unit = away.unit * random.uniform(0.45, 0.75)
        behind = replace(away, centre=away.centre + shift, top=pose.top + pose.unit * 0.05, unit=unit)
        _put(picture, random, world, lens, other, behind, spectrum)
    _put(picture, random, world, lens, person, pose, spectrum)
    if hidden:
        _occlude(picture, random, spectrum)
    return develop(picture, random, lens, world, spectrum)


def render_many(world: World, shots: Iterable[tuple[int, int, int]], modality: Modality | None = None) -> np.ndarray:
    """Pictures for (identity, camera, shot) triples, in their order: (N, height, width, 3) uint8."""
    pictures = [render(world, identity, camera, shot, modality) for identity, camera, shot in shots]
    return np.stack(pictures) if pictures else np.empty((0, world.height, world.width, 3), np.uint8)
