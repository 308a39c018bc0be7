"""Who walks there: build, hair, hat, bag and clothes of an identity, and how each surface looks to each sensor."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache

import numpy as np

from tokenmatcher.people.world import Spectrum, Stream, World

RGB = tuple[float, float, float]
LUMA = np.array((0.2989, 0.5870, 0.1140))
_STRANGERS = 64


class Part(IntEnum):
    """What a pixel of a figure shows; 0 is no figure."""

    NONE = 0
    SKIN = 1
    HAIR = 2
    UPPER = 3
    UPPER_ACCENT = 4
    SLEEVE = 5
    INNER = 6
    LOWER = 7
    LOWER_ACCENT = 8
    SHOES = 9
    BAG = 10
    BAG_ACCENT = 11
    HAT = 12


GARMENTS = (Part.UPPER, Part.UPPER_ACCENT, Part.SLEEVE, Part.INNER, Part.LOWER, Part.LOWER_ACCENT)


class Pattern(str, Enum):
    PLAIN = "plain"
    STRIPES = "stripes"
    BARS = "bars"
    CHECKS = "checks"
    LOGO = "logo"
    TWO_TONE = "two-tone"
    BAND = "band"


class Lower(str, Enum):
    TROUSERS = "trousers"
    SHORTS = "shorts"
    SKIRT = "skirt"
    COAT = "long coat over trousers"


class Bag(str, Enum):
    NONE = "none"
    BACKPACK = "backpack"
    SHOULDER = "shoulder bag"
    HANDBAG = "handbag"


class Hat(str, Enum):
    NONE = "none"
    CAP = "cap"
    BEANIE = "beanie"
    BRIMMED = "brimmed"


class Hair(str, Enum):
    BALD = "bald"
    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Surface:
    """What a surface sends back, each value in 0..1: visible red, green, blue; near-infrared; heat."""

    visible: RGB
    near: float
    thermal: float

    @property
    def luminance(self) -> float:
        return float(np.dot(LUMA, self.visible))

    def seen_by(self, spectrum: Spectrum) -> tuple[float, ...]:
        """(3,) visible or (1,) infrared."""
        if spectrum is Spectrum.VISIBLE:
            return self.visible
        return (self.near,) if spectrum is Spectrum.NEAR else (self.thermal,)


@dataclass(frozen=True, slots=True)
class Person:
    """One identity. Lengths are relative: `stature` to the average height, `build` to the average width.

    `pattern_period` is in body heights; `side` is the hand (-1 left, 1 right) that carries a bag.
    """

    stature: float
    build: float
    hair: Hair
    hat: Hat
    long_sleeves: bool
    contrast_sleeves: bool
    open_jacket: bool
    upper_pattern: Pattern
    lower: Lower
    lower_pattern: Pattern
    pattern_period: float
    back_logo: bool
    bag: Bag
    side: int
    surfaces: dict[Part, Surface]


def _colour(random: np.random.Generator) -> RGB:
    """A colour that clothes have: four of ten black to white, the others dyed; luminance spread evenly."""
    value = random.uniform(0.08, 0.95)
    if random.random() < 0.4:
        hue, saturation = random.uniform(0.0, 1.0), random.uniform(0.0, 0.12)
    else:
        hue, saturation = random.uniform(0.0, 1.0), random.uniform(0.45, 0.95)
        value = max(value, 0.25)
    return colorsys.hsv_to_rgb(hue, saturation, value)


def _unlike(random: np.random.Generator, other: RGB, gap: float) -> RGB:
    """A colour whose luminance is at least `gap` away from another's; the best of a few tries if none is."""
    tries = [_colour(random) for _ in range(12)]
    gaps = [abs(float(np.dot(LUMA, np.subtract(colour, other)))) for colour in tries]
    return next(
        (colour for colour, found in zip(tries, gaps, strict=True) if found >= gap), tries[int(np.argmax(gaps))]
    )


def _cloth(random: np.random.Generator, world: World, colour: RGB, warmth: float) -> Surface:
    """Cloth of a colour. `warmth` is how much body heat it lets through (thin cloth more than a coat)."""
    luminance = float(np.dot(LUMA, colour))
    near = world.nir_correlation * luminance + (1 - world.nir_correlation) * random.uniform(0.0, 1.0)
    # Dark cloth takes up more sun, which ties heat to the visible picture a little.
    heat = warmth + 0.10 * (1 - luminance) + random.uniform(0.0, 0.10)
    return Surface(colour, float(near), float(heat))


def _patterned(random: np.random.Generator, world: World, base: Surface, accent: Surface) -> tuple[Surface, Surface]:
    """Near-infrared inverts or loses the pattern in `nir_inverted` of the cases; heat nearly always loses it."""
    accent = Surface(accent.visible, accent.near, base.thermal + 0.2 * (accent.thermal - base.thermal))
    fate = random.random()
    if fate < world.nir_inverted / 2:
        return Surface(base.visible, accent.near, base.thermal), Surface(accent.visible, base.near, accent.thermal)
    if fate < world.nir_inverted:
        return base, Surface(accent.visible, base.near, accent.thermal)
    return base, accent


def _surfaces(random: np.random.Generator, world: World, long_sleeves: bool, lower: Lower) -> dict[Part, Surface]:
    upper_warmth = 0.30 if not long_sleeves else 0.14 if lower is Lower.COAT else 0.20
    upper_colour = _colour(random)
    upper = _cloth(random, world, upper_colour, upper_warmth)
    upper_accent = _cloth(random, world, _unlike(random, upper_colour, 0.3), upper_warmth)
    lower_colour = _unlike(random, upper_colour, 0.12)
    bottom = _cloth(random, world, lower_colour, 0.24)
    lower_accent = _cloth(random, world, _unlike(random, lower_colour, 0.25), 0.24)
    sleeve = _cloth(random, world, _unlike(random, upper_colour, 0.25), upper_warmth)
    inner = _cloth(random, world, _unlike(random, upper_colour, 0.3), 0.36)
    bag_colour = _unlike(random, upper_colour, 0.22)
    bag = _cloth(random, world, bag_colour, 0.02)
    bag_accent = _cloth(random, world, _unlike(random, bag_colour, 0.25), 0.02)
    hat = _cloth(random, world, _colour(random), 0.22)
    shoes = _cloth(random, world, _colour(random), 0.12)
    tone = random.uniform(0.0, 1.0)
    skin = tuple(float(light + tone * (dark - light)) for light, dark in ((0.93, 0.45), (0.74, 0.30), (0.62, 0.22)))
    hair_tone = random.uniform(0.0, 1.0) ** 2
    hair = tuple(float(0.06 + hair_tone * (top - 0.06)) for top in (0.75, 0.6, 0.35))
    upper, upper_accent = _patterned(random, world, upper, upper_accent)
    bottom, lower_accent = _patterned(random, world, bottom, lower_accent)
    return {
        Part.SKIN: Surface((skin[0], skin[1], skin[2]), float(0.78 - 0.12 * tone), 0.92),
        Part.HAIR: Surface((hair[0], hair[1], hair[2]), float(0.22 + 0.4 * hair_tone), 0.55),
        Part.UPPER: upper,
        Part.UPPER_ACCENT: upper_accent,
        Part.SLEEVE: sleeve,
        Part.INNER: inner,
        Part.LOWER: bottom,
        Part.LOWER_ACCENT: lower_accent,
        Part.SHOES: shoes,
        Part.BAG: bag,
        Part.BAG_ACCENT: bag_accent,
        Part.HAT: hat,
    }


def _dress(random: np.random.Generator, world: World) -> Person:
    long_sleeves = bool(random.random() < 0.6)
    lower = list(Lower)[int(random.choice(4, p=(0.5, 0.2, 0.15, 0.15)))]
    open_jacket = bool(long_sleeves and random.random() < 0.3)
    patterns, chances = list(Pattern), (0.22, 0.17, 0.11, 0.14, 0.12, 0.13, 0.11)
    lower_patterns = (Pattern.PLAIN, Pattern.CHECKS, Pattern.STRIPES, Pattern.TWO_TONE, Pattern.BARS)
    return Person(
        stature=float(np.clip(random.normal(1.0, 0.045), 0.88, 1.1)),
        build=float(np.clip(random.normal(1.02, 0.13), 0.78, 1.35)),
        hair=list(Hair)[int(random.choice(3, p=(0.1, 0.5, 0.4)))],
        hat=list(Hat)[int(random.choice(4, p=(0.6, 0.15, 0.15, 0.1)))],
        long_sleeves=long_sleeves or lower is Lower.COAT,
        contrast_sleeves=bool(random.random() < 0.2),
        open_jacket=open_jacket,
        upper_pattern=patterns[int(random.choice(len(patterns), p=chances))],
        lower=lower,
        lower_pattern=lower_patterns[int(random.choice(5, p=(0.62, 0.12, 0.08, 0.1, 0.08)))],
        pattern_period=float(random.uniform(0.055, 0.1)),
        back_logo=bool(random.random() < 0.5),
        bag=list(Bag)[int(random.choice(4, p=(0.35, 0.28, 0.2, 0.17)))],
        side=int(random.choice((-1, 1))),
        surfaces=_surfaces(random, world, long_sleeves, lower),
    )


@lru_cache(maxsize=2048)
def person_of(world: World, identity: int) -> Person:
    """The person with this number, the same whatever the picture size and the cameras."""
    return _dress(world.random(Stream.IDENTITY, identity), world)


@lru_cache(maxsize=_STRANGERS)
def _stranger(world: World, number: int) -> Person:
    return _dress(world.random(Stream.STRANGER, number), world)


def stranger_of(world: World, random: np.random.Generator) -> Person:
    """Somebody who belongs to no identity: passers-by."""
    return _stranger(world, int(random.integers(_STRANGERS)))
