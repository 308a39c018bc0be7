"""The rendered world: its parameters, its random streams and its cameras.

Everything that is drawn is a pure function of a `World` and of the numbers of the identity, camera and
shot. Each such tuple owns a random stream, so neither the order of rendering nor the number of identities
changes a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache

import numpy as np

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError


class Spectrum(str, Enum):
    """What a sensor records."""

    VISIBLE = "visible"
    NEAR = "near-infrared"
    THERMAL = "thermal"


class Stream(IntEnum):
    """First key of a random stream: what it decides."""

    IDENTITY = 0
    CAMERA = 1
    SCENE = 2
    SHOT = 3
    STRANGER = 4
    PRESENCE = 5
    TRIAL = 6
    OVERLAP = 7


SYSU_VISIBLE = (1, 2, 4, 5)
SYSU_INFRARED = (3, 6)
REGDB_VISIBLE = 7
REGDB_THERMAL = 8
LLCM_FIRST = 9  # the number here of LLCM's cam1; its cameras take visible and near-infrared pictures, in low light
LLCM_CAMERAS = 9
CAMERAS = tuple(range(1, LLCM_FIRST + LLCM_CAMERAS))
INDOOR = (1, 2, 3, 9, 10, 11)
_LOW_LIGHT = 0.6  # of the usual exposure
_OWN_SPECTRUM = {3: Spectrum.NEAR, 6: Spectrum.NEAR, REGDB_THERMAL: Spectrum.THERMAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All parameters of a rendered world.

    Attributes:
        seed: number of the world; another seed has other people, cameras and scenes.
        nir_correlation: rho in 0..1; near-infrared reflectance = rho * luminance + (1 - rho) * own value.
        nir_inverted: share of clothing patterns that near-infrared inverts or does not see, 0..1.
        camera_cast: strength of the cameras' colour casts and exposure differences; 0 means none, 1 the usual.
        occlusion: share of pictures in which something stands before the person, 0..1.
        height, width: picture size in pixels.
    """

    seed: int = 7
    nir_correlation: float = 0.8
    nir_inverted: float = 0.1
    camera_cast: float = 1.0
    occlusion: float = 0.1
    height: int = 128
    width: int = 48

    def __post_init__(self) -> None:
        for name in ("nir_correlation", "nir_inverted", "occlusion"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise SettingError(f"{{{name}}} must lie between 0 and 1, got {value}")
        if not 0 <= self.camera_cast <= 3:
            raise SettingError(f"{{camera_cast}} must lie between 0 and 3, got {self.camera_cast}")
        if self.seed < 0:
            raise SettingError(f"{{seed}} must not be negative, got {self.seed}")
        if not (32 <= self.height <= 1024 and 12 <= self.width <= 1024):
            raise SettingError(
                f"{{height}} and {{width}} must be at least 32 and 12 pixels and at most 1024, "
                f"got {self.height} and {self.width}"
            )

    def random(self, stream: Stream, *keys: int) -> np.random.Generator:
        """The random stream that belongs to these numbers alone."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(int(stream), *keys)))


@dataclass(frozen=True, slots=True)
class Camera:
    """Where a camera hangs and what its sensor does to a picture.

    Attributes:
        number: 1..6 as in SYSU-MM01, 7 and 8 the visible and thermal camera of RegDB, 9..17 the nine of LLCM.
        indoor: whether it watches a corridor or a street.
        pitch: 0 at eye level, about 0.3 when it looks steeply down.
        fill: share of the picture's height that a person of average height fills.
        gains: (3,) channel gains, the colour cast.
        exposure: gain of all channels.
        gamma: exponent of the response; above 1 darkens the mid-tones.
        saturation: 1 keeps colours, 0 makes them grey.
        blur: Gaussian sigma in pixels of a picture 128 pixels tall.
        noise: standard deviation of the sensor noise in units of full scale.
        light: side the light comes from, -1 left .. 1 right.
        facing: chances of seeing a person from the front, back, left and right.
    """

    number: int
    indoor: bool
    pitch: float
    fill: float
    gains: tuple[float, float, float]
    exposure: float
    gamma: float
    saturation: float
    blur: float
    noise: float
    light: float
    facing: tuple[float, float, float, float]


def spectrum_of(camera: int, modality: Modality | None = None) -> Spectrum:
    """What `camera` records, or would record if its sensor were of the given modality."""
    own = _OWN_SPECTRUM.get(camera, Spectrum.VISIBLE)
    if modality is None:
        return own
    if modality is Modality.VISIBLE:
        return Spectrum.VISIBLE
    return Spectrum.THERMAL if camera in (REGDB_VISIBLE, REGDB_THERMAL) else Spectrum.NEAR


@lru_cache(maxsize=64)
def camera_of(world: World, number: int) -> Camera:
    """Camera `number` (1..17) of the world."""
    if number not in CAMERAS:
        raise UserError(f"camera must be one of 1..{CAMERAS[-1]}, got {number}")
    random = world.random(Stream.CAMERA, number)
    cast = world.camera_cast
    # A cast is mostly a shift from blue to yellow (white balance) and a little one from green to magenta.
    # Neighbouring numbers take turns in its sign so that no world has six equal cameras.
    warmth = cast * random.uniform(0.06, 0.22) * (1 if number % 2 else -1)
    tint = cast * random.normal(0.0, 0.05)
    gains = (float(np.exp(warmth)), float(np.exp(tint)), float(np.exp(-warmth)))
    facing = random.dirichlet((2.0, 2.0, 1.2, 1.2)) * 0.6 + 0.1
    outdoor_scale = 0.86 if number in (4, 5, 6) else 0.92
    return Camera(
        number=number,
        indoor=number in INDOOR,
        pitch=float(random.uniform(0.0, 0.28)),
        fill=float(outdoor_scale + random.uniform(-0.04, 0.03)),
        gains=gains,
        exposure=float(np.exp(cast * random.uniform(-0.28, 0.22))) * (_LOW_LIGHT if number >= LLCM_FIRST else 1.0),
        gamma=float(np.exp(cast * random.uniform(-0.25, 0.25))),
        saturation=float(np.clip(1 - cast * random.uniform(-0.1, 0.4), 0.2, 1.3)),
        blur=float(random.uniform(0.25, 0.8)),
        noise=float(random.uniform(0.008, 0.025)),
        light=float(random.uniform(-1, 1)),
        facing=tuple(float(chance) for chance in facing / facing.sum()),  # type: ignore[arg-type]
    )
