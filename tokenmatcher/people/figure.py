"""Drawing a walking person as a map of parts (see `pen`); colours come later, one look-up for any sensor."""

from __future__ import annotations

from math import cos, sin

import numpy as np

from tokenmatcher.people.pen import (
    FAR,
    NEAR,
    OFF,
    PART_MASK,
    Arms,
    Pen,
    Pose,
    View,
    arm,
    handbag,
    hat,
    leg,
    skirt,
)
from tokenmatcher.people.person import Bag, Hair, Part, Pattern, Person


def _facing(pen: Pen, back: bool) -> None:
    """Front and back view."""
    person, pose, b = pen.person, pen.pose, pen.person.build
    lift = pose.stride * sin(pose.phase)
    mirror = -1 if back else 1
    if person.hair is Hair.LONG and not back:
        pen.shape(((-0.055, 0.05), (0.055, 0.05), (0.066, 0.225), (-0.066, 0.225)), Part.HAIR | FAR)
    for foot in (-1, 1):
        raised = max(0.0, foot * lift)
        shade = FAR if raised > 0.5 and not back else NEAR
        hip, knee = (foot * 0.043 * b, 0.5), (foot * (0.05 * b + 0.012 * raised), 0.735 - 0.02 * raised)
        leg(pen, hip, knee, (foot * (0.05 * b + 0.006), 0.958 - 0.05 * raised), foot * 0.012, shade)
    pen.shape(((-0.088 * b, 0.46), (0.088 * b, 0.46), (0.092 * b, 0.545), (0, 0.575), (-0.092 * b, 0.545)), Part.LOWER)
    pen.box(-0.028, 0.11, 0.028, 0.2, Part.SKIN | OFF)
    torso = ((-0.04, 0.155), (0.04, 0.155), (0.118 * b, 0.185), (0.096 * b, 0.36), (0.096 * b, 0.5))
    pen.shape((*torso, *((-x, y) for x, y in reversed(torso))), Part.UPPER)
    skirt(pen, 0.094 * b, 0.006)
    if person.open_jacket and not back:
        pen.shape(((-0.04, 0.158), (0.04, 0.158), (0.03 * b, 0.5), (-0.03 * b, 0.5)), Part.INNER)
    if not back:
        pen.oval(0, 0.155, 0.032, 0.022, Part.SKIN)
    carry = person.side * mirror
    for hand_side in (-1, 1):
        swing = 0.03 * lift * hand_side
        elbow, hand = (hand_side * 0.15 * b, 0.345), (hand_side * (0.15 * b + 0.004), 0.475 + swing)
        if pose.arms is Arms.PHONE and hand_side != carry:
            elbow, hand = (hand_side * 0.165 * b, 0.32), (hand_side * 0.07, 0.1)
        elif pose.arms is Arms.POCKETS:
            elbow, hand = (hand_side * 0.17 * b, 0.345), (hand_side * 0.105 * b, 0.47)
        arm(pen, (hand_side * 0.118 * b, 0.205), elbow, hand, OFF)
        if person.bag is Bag.HANDBAG and hand_side == carry:
            handbag(pen, hand_side * (0.15 * b + 0.012), 0.48 + swing, NEAR)
    pen.oval(0, 0.066, 0.048, 0.066, Part.SKIN)
    if person.hair is not Hair.BALD:
        if back:
            pen.oval(0, 0.058, 0.05, 0.06, Part.HAIR)
        else:
            pen.draw.chord((*pen.at(-0.05, -0.006), *pen.at(0.05, 0.09)), 180, 360, fill=Part.HAIR)
        if person.hair is Hair.LONG:
            if back:
                pen.shape(((-0.052, 0.05), (0.052, 0.05), (0.064, 0.24), (-0.064, 0.24)), Part.HAIR)
            else:
                pen.box(-0.058, 0.04, -0.04, 0.2, Part.HAIR | OFF)
                pen.box(0.04, 0.04, 0.058, 0.2, Part.HAIR | OFF)
    hat(pen, 0.0, 2 if back else 0)
    if person.bag is Bag.BACKPACK:
        if back:
            pen.oval(0, 0.22, 0.085, 0.045, Part.BAG)
            pen.box(-0.085, 0.22, 0.085, 0.44, Part.BAG)
            pen.box(-0.06, 0.33, 0.06, 0.42, Part.BAG_ACCENT)
        else:
            for strap in (-1, 1):
                pen.shape(
                    ((strap * 0.055, 0.165), (strap * 0.085, 0.17), (strap * 0.09, 0.36), (strap * 0.068, 0.36)),
                    Part.BAG,
                )
    elif person.bag is Bag.SHOULDER:
        pen.limb(((-carry * 0.08 * b, 0.175), (carry * 0.105 * b, 0.46)), (0.02, 0.02), Part.BAG_ACCENT)
        pen.box(carry * 0.125 * b - 0.06, 0.44, carry * 0.125 * b + 0.06, 0.57, Part.BAG)


def _sideways(pen: Pen, d: int) -> None:
    """Side view of somebody who walks to the right (d = 1) or the left (d = -1)."""
    person, pose, b = pen.person, pen.pose, pen.person.build
    near_is_carry = person.side == d

    def near_or_far_leg(phase: float, shade: int) -> None:
        thigh = 0.42 * pose.stride * sin(phase)
        bend = 0.15 + 0.6 * pose.stride * max(0.0, cos(phase))
        hip = (0.0, 0.5)
        knee = (d * 0.235 * sin(thigh), 0.5 + 0.235 * cos(thigh))
        shin = thigh - bend
        ankle = (knee[0] + d * 0.225 * sin(shin), knee[1] + 0.225 * cos(shin))
        leg(pen, hip, knee, ankle, d * 0.04, shade)

    def near_or_far_arm(phase: float, shade: int, busy: bool) -> None:
        swing = -0.55 * pose.stride * sin(phase)
        shoulder = (-d * 0.005, 0.21)
        elbow = (shoulder[0] + d * 0.15 * sin(swing), 0.21 + 0.15 * cos(swing))
        forearm = swing + 0.35
        hand = (elbow[0] + d * 0.14 * sin(forearm), elbow[1] + 0.14 * cos(forearm))
        if busy and pose.arms is Arms.PHONE:
            elbow, hand = (d * 0.06, 0.33), (d * 0.075, 0.12)
        elif busy and pose.arms is Arms.POCKETS:
            elbow, hand = (-d * 0.05, 0.35), (d * 0.03, 0.46)
        arm(pen, shoulder, elbow, hand, shade)
        if person.bag is Bag.HANDBAG and (shade != FAR) == near_is_carry:
            handbag(pen, hand[0], hand[1], shade & FAR)

    near_or_far_arm(pose.phase, FAR, busy=False)
    near_or_far_leg(pose.phase + np.pi, FAR)
    if person.bag is Bag.BACKPACK:
        pen.oval(-d * 0.115, 0.23, 0.06, 0.045, Part.BAG)
        pen.box(-d * 0.115 - 0.06, 0.23, -d * 0.115 + 0.06, 0.44, Part.BAG)
        pen.box(-d * 0.15 - 0.025, 0.33, -d * 0.15 + 0.025, 0.42, Part.BAG_ACCENT)
    near_or_far_leg(pose.phase, NEAR)
    pen.shape(((-0.066 * b, 0.46), (0.066 * b, 0.46), (0.062 * b, 0.55), (-0.062 * b, 0.55)), Part.LOWER)
    pen.limb(((-d * 0.002, 0.19), (d * 0.012, 0.1)), (0.052, 0.05), Part.SKIN | OFF)
    torso = ((-d * 0.03, 0.155), (d * 0.03, 0.16), (d * 0.07 * b, 0.26), (d * 0.066 * b, 0.38), (d * 0.07 * b, 0.5))
    pen.shape((*torso, (-d * 0.07 * b, 0.5), (-d * 0.056 * b, 0.38), (-d * 0.074 * b, 0.24)), Part.UPPER)
    skirt(pen, 0.068 * b, 0.02 * pose.stride)
    if person.open_jacket:
        pen.shape(((d * 0.03, 0.16), (d * 0.07 * b, 0.26), (d * 0.07 * b, 0.5), (d * 0.05 * b, 0.5)), Part.INNER)
    if person.bag is Bag.BACKPACK:
        pen.limb(((-d * 0.045, 0.17), (d * 0.028, 0.22), (-d * 0.04, 0.36)), (0.022, 0.022, 0.02), Part.BAG)
    elif person.bag is Bag.SHOULDER:
        strap = ((-d * 0.01, 0.16), (-d * 0.03, 0.46)) if near_is_carry else ((-d * 0.01, 0.16), (d * 0.05, 0.36))
        pen.limb(strap, (0.02, 0.02), Part.BAG_ACCENT)
        if near_is_carry:
            pen.box(-d * 0.03 - 0.075, 0.44, -d * 0.03 + 0.075, 0.57, Part.BAG)
    near_or_far_arm(pose.phase + np.pi, OFF, busy=True)
    head = d * 0.018
    pen.oval(head, 0.066, 0.05, 0.066, Part.SKIN)
    pen.shape(((head + d * 0.046, 0.055), (head + d * 0.062, 0.082), (head + d * 0.044, 0.086)), Part.SKIN)
    if person.hair is not Hair.BALD:
        pen.oval(head - d * 0.016, 0.052, 0.046, 0.056, Part.HAIR)
        pen.oval(head, 0.022, 0.046, 0.026, Part.HAIR)
        if person.hair is Hair.LONG:
            back = head - d * 0.04
            pen.shape(
                ((back - 0.026, 0.04), (back + 0.03, 0.05), (back + 0.018, 0.235), (back - 0.036, 0.235)), Part.HAIR
            )
    hat(pen, head, float(d))


def printed(pattern: Pattern, u: np.ndarray, v: np.ndarray, period: float, split: float) -> np.ndarray | None:
    """Where a pattern shows its accent; u (1, W), v (H, 1) body coordinates; None for plain cloth."""
    if pattern is Pattern.STRIPES:
        return (v / period) % 1 < 0.45
    if pattern is Pattern.BARS:
        return (u / (period * 0.9) + 0.25) % 1 < 0.45
    if pattern is Pattern.CHECKS:
        return ((v / period) % 1 < 0.5) ^ ((u / period) % 1 < 0.5)
    if pattern is Pattern.TWO_TONE:
        return v > split
    if pattern is Pattern.BAND:
        return (v > split - 0.09) & (v < split - 0.02)
    return None


def logo(person: Person, view: View, u: np.ndarray, v: np.ndarray) -> np.ndarray | None:
    if view is View.FRONT:
        return (np.abs(u) < 0.052) & (np.abs(v - 0.29) < 0.045)
    if view is View.BACK and person.back_logo:
        return (np.abs(u) < 0.075) & (np.abs(v - 0.26) < 0.03) | (np.abs(u) < 0.045) & (np.abs(v - 0.33) < 0.02)
    return None


def draw_figure(person: Person, pose: Pose, height: int, width: int) -> np.ndarray:
    """Map of parts and shades: (height, width) uint8, 0 where the person is not."""
    pen = Pen(person, pose, (width, height))
    if pose.view in (View.FRONT, View.BACK):
        _facing(pen, back=pose.view is View.BACK)
    else:
        _sideways(pen, 1 if pose.view is View.RIGHT else -1)
    figure = np.array(pen.image)
    rows = (np.arange(height, dtype=np.float32)[:, None] + 0.5 - pose.top) / pose.unit
    # The inverse of the foreshortening in `Pen.at`, to first order.
    v = rows - pose.pitch * rows * (1 - rows)
    u = (np.arange(width, dtype=np.float32)[None, :] + 0.5 - pose.centre) / pose.unit
    parts = figure & PART_MASK
    if person.upper_pattern is Pattern.LOGO:
        upper = logo(person, pose.view, u, v)
    else:
        upper = printed(person.upper_pattern, u, v, person.pattern_period, split=0.34)
    if upper is not None:
        figure[upper & (parts == Part.UPPER)] += Part.UPPER_ACCENT - Part.UPPER
    lower = printed(person.lower_pattern, u, v, person.pattern_period, split=0.66)
    if lower is not None:
        figure[lower & (parts == Part.LOWER)] += Part.LOWER_ACCENT - Part.LOWER
    return figure
