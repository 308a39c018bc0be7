"""What a camera makes of the light: lamp, cast, exposure, blur and noise."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from tokenmatcher.people.world import Camera, Spectrum, World


def develop(
    picture: np.ndarray, random: np.random.Generator, camera: Camera, world: World, spectrum: Spectrum
) -> np.ndarray:
    """What the sensor makes of the light: (H, W, C) float32 to (H, W, 3) uint8."""
    scale = world.height / 128
    if spectrum is Spectrum.VISIBLE:
        grey = picture.mean(axis=2, keepdims=True)
        picture = grey + camera.saturation * (picture - grey)
        picture = (
            picture * np.float32(camera.exposure * random.uniform(0.88, 1.12)) * np.array(camera.gains, np.float32)
        )
    elif spectrum is Spectrum.NEAR:
        # The lamp beside the lens: bright in the middle, falling off to the corners.
        y = np.linspace(-1, 1, world.height, dtype=np.float32)[:, None] - np.float32(random.normal(-0.15, 0.15))
        x = np.linspace(-1, 1, world.width, dtype=np.float32)[None, :] - np.float32(random.normal(0, 0.2))
        lamp = 1.12 - 0.28 * y**2 - 0.12 * x**2
        picture = picture * lamp[..., None] * np.float32(camera.exposure * random.uniform(0.9, 1.1))
    else:
        picture = picture * np.float32(random.uniform(0.9, 1.1)) + np.float32(random.normal(0, 0.02))
    np.clip(picture, 0, 1, out=picture)
    if spectrum is not Spectrum.THERMAL and camera.gamma != 1:
        picture **= np.float32(camera.gamma)
    blur = camera.blur * scale * random.uniform(0.8, 1.4) * (1.5 if spectrum is Spectrum.THERMAL else 1)
    raw = (picture * 255).astype(np.uint8)
    image = Image.fromarray(raw if raw.shape[2] == 3 else raw[..., 0]).filter(ImageFilter.GaussianBlur(blur))
    sharp = np.asarray(image, dtype=np.float32).reshape(raw.shape)
    noise = random.standard_normal(raw.shape, dtype=np.float32) * np.float32(camera.noise * 255 + 0.5)
    developed = np.clip(sharp + noise, 0, 255).astype(np.uint8)
    return developed if developed.shape[2] == 3 else np.repeat(developed, 3, axis=2)
