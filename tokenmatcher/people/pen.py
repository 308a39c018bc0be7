"""A pen that draws limbs and clothes in body coordinates on a map of parts.

Body coordinates: x to the right from the body's axis, y downwards, both in body heights; the crown is at
y = 0, the soles at y = 1. A pixel of the map is `part | shade << 4`: shade 1 for what stands off the body
(arms), 2 for the far side, 3 for a crease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from tokenmatcher.people.person import Hat, Lower, Part, Person

PART_MASK = 15
SHADES = (1.0, 0.86, 0.66, 0.72)
NEAR, OFF, FAR, CREASE = (shade << 4 for shade in range(4))
Point = tuple[float, float]


class View(str, Enum):
    """The side of a person that a camera sees."""

    FRONT = "front"
    BACK = "back"
    LEFT = "left"
    RIGHT = "right"


class Arms(str, Enum):
    SWING = "swing"
    PHONE = "phone"
    POCKETS = "pockets"


@dataclass(frozen=True, slots=True)
class Pose:
    """How a figure stands in a picture.

    `phase` of the walk in radians, `stride` 0..1; `centre` and `top` of the body and its height `unit` in
    pixels; `pitch` of the camera (foreshortens the legs), `lean` of the body sideways in body heights.
    """

    view: View
    phase: float
    stride: float
    arms: Arms
    centre: float
    top: float
    unit: float
    pitch: float
    lean: float


class Pen:
    """Draws in body coordinates on a map of parts."""

    def __init__(self, person: Person, pose: Pose, size: tuple[int, int]) -> None:
        self.image = Image.new("L", size)
        self.draw = ImageDraw.Draw(self.image)
        self.person, self.pose = person, pose

    def at(self, x: float, y: float) -> Point:
        """Body coordinates to pixels."""
        pose = self.pose
        wide = 1 + pose.pitch * (0.45 - y)
        down = y + pose.pitch * y * (1 - y)
        return pose.centre + pose.unit * (x * wide + pose.lean * (0.5 - y)), pose.top + pose.unit * down

    def shape(self, points: Sequence[Point], ink: int) -> None:
        self.draw.polygon([self.at(x, y) for x, y in points], fill=ink)

    def oval(self, x: float, y: float, rx: float, ry: float, ink: int) -> None:
        self.draw.ellipse((*self.at(x - rx, y - ry), *self.at(x + rx, y + ry)), fill=ink)

    def box(self, left: float, top: float, right: float, bottom: float, ink: int) -> None:
        self.shape(((left, top), (right, top), (right, bottom), (left, bottom)), ink)

    def limb(self, joints: Sequence[Point], widths: Sequence[float], ink: int) -> None:
        """A chain of tapered pieces, round at the joints; `widths` are full widths in body heights."""
        for (start, end), (wide, thin) in zip(pairwise(joints), pairwise(widths), strict=True):
            along = np.subtract(end, start)
            length = float(np.hypot(*along)) or 1.0
            across_x, across_y = -along[1] / length / 2, along[0] / length / 2
            self.shape(
                (
                    (start[0] + across_x * wide, start[1] + across_y * wide),
                    (end[0] + across_x * thin, end[1] + across_y * thin),
                    (end[0] - across_x * thin, end[1] - across_y * thin),
                    (start[0] - across_x * wide, start[1] - across_y * wide),
                ),
                ink,
            )
            self.oval(*end, thin / 2, thin / 2, ink)


def leg(pen: Pen, hip: Point, knee: Point, ankle: Point, toe: float, shade: int) -> None:
    """A leg with what is worn on it; `toe` is how far the shoe reaches forward."""
    person, b = pen.person, pen.person.build
    bare = person.lower in (Lower.SHORTS, Lower.SKIRT)
    if bare:
        pen.limb((hip, knee, ankle), (0.085 * b, 0.055 * b, 0.04), Part.SKIN | shade)
        if person.lower is Lower.SHORTS:
            hem = (knee[0] * 0.9 + hip[0] * 0.1, knee[1] * 0.9 + hip[1] * 0.1)
            pen.limb((hip, hem), (0.1 * b, 0.095 * b), Part.LOWER | shade)
    else:
        pen.limb((hip, knee, ankle), (0.1 * b, 0.08 * b, 0.065), Part.LOWER | shade)
    x, y = ankle
    left, right = x - 0.028 + min(toe, 0.0), x + 0.028 + max(toe, 0.0)
    pen.shape(
        ((x - 0.024, y - 0.012), (x + 0.024, y - 0.012), (right, y + 0.034), (left, y + 0.034)), Part.SHOES | shade
    )


def arm(pen: Pen, shoulder: Point, elbow: Point, hand: Point, shade: int) -> None:
    person, b = pen.person, pen.person.build
    sleeve = Part.SLEEVE if person.contrast_sleeves else Part.UPPER
    crease = CREASE if shade != FAR else FAR
    if person.long_sleeves:
        pen.limb((shoulder, elbow, hand), (0.068 * b, 0.062 * b, 0.052 * b), sleeve | crease)
        pen.limb((shoulder, elbow, hand), (0.056 * b, 0.05 * b, 0.04 * b), sleeve | shade)
    else:
        pen.limb((shoulder, elbow, hand), (0.045 * b, 0.04 * b, 0.03), Part.SKIN | shade)
        hem = (shoulder[0] * 0.2 + elbow[0] * 0.8, shoulder[1] * 0.2 + elbow[1] * 0.8)
        pen.limb((shoulder, hem), (0.068 * b, 0.072 * b), sleeve | shade)
    pen.oval(*hand, 0.02, 0.024, Part.SKIN | shade)


def skirt(pen: Pen, half: float, flare: float) -> None:
    """The one-piece lower garments: a skirt, or the tails of a coat."""
    if pen.person.lower is Lower.SKIRT:
        pen.shape(((-half, 0.47), (half, 0.47), (half * 1.35 + flare, 0.69), (-half * 1.35 - flare, 0.69)), Part.LOWER)
    elif pen.person.lower is Lower.COAT:
        pen.shape(((-half, 0.46), (half, 0.46), (half * 1.2 + flare, 0.76), (-half * 1.2 - flare, 0.76)), Part.UPPER)
        pen.box(-0.004, 0.5, 0.004, 0.76, Part.UPPER | CREASE)


def hat(pen: Pen, x: float, forward: float) -> None:
    """Hat on a head at `x`; `forward` is -1 or 1 in a side view, 0 from the front, 2 from the back."""
    kind = pen.person.hat
    if kind is Hat.NONE:
        return
    top, half = (-0.012, 0.054) if kind is not Hat.BEANIE else (-0.028, 0.056)
    pen.oval(x, 0.04, half, 0.04 - top, Part.HAT)
    # What the dome covers below its edge is the face again.
    pen.draw.rectangle((*pen.at(x - half, 0.052), *pen.at(x + half, 0.082)), fill=0)
    face = Part.HAIR if forward == 2 else Part.SKIN
    pen.oval(x, 0.066, 0.046, 0.064, face)
    pen.shape(((x - half, 0.058), (x - half * 0.85, 0.01), (x + half * 0.85, 0.01), (x + half, 0.058)), Part.HAT)
    if kind is Hat.BRIMMED:
        pen.oval(x, 0.052, 0.098, 0.014, Part.HAT | OFF)
    elif kind is Hat.BEANIE:
        pen.box(x - half, 0.042, x + half, 0.06, Part.HAT | OFF)
        pen.oval(x, -0.038, 0.02, 0.018, Part.HAT)
    elif abs(forward) == 1:
        pen.shape(((x, 0.04), (x + forward * 0.1, 0.056), (x + forward * 0.1, 0.066), (x, 0.062)), Part.HAT | OFF)
    elif forward == 0:
        pen.oval(x, 0.06, 0.056, 0.012, Part.HAT | OFF)


def handbag(pen: Pen, x: float, y: float, shade: int) -> None:
    pen.limb(((x - 0.025, y + 0.05), (x, y), (x + 0.025, y + 0.05)), (0.012, 0.012, 0.012), Part.BAG_ACCENT | shade)
    pen.shape(
        ((x - 0.045, y + 0.045), (x + 0.045, y + 0.045), (x + 0.06, y + 0.15), (x - 0.06, y + 0.15)), Part.BAG | shade
    )
