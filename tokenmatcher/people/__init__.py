"""Rendered pedestrians: a world of people seen by visible, near-infrared and thermal cameras, made from a seed.

    world = World(seed=7)
    picture = render(world, identity=3, camera=6, shot=0)  # (128, 48, 3) uint8
    write_sysu("data/demo", world, train_ids=100, test_ids=40)

On the command line: `python -m tokenmatcher.people --help`.
"""

from tokenmatcher.people.layouts import Written, cameras_of, write_regdb, write_sysu
from tokenmatcher.people.llcm import write_llcm
from tokenmatcher.people.person import Part, Person, person_of
from tokenmatcher.people.render import render, render_many
from tokenmatcher.people.sheet import contact_sheet
from tokenmatcher.people.world import (
    REGDB_THERMAL,
    REGDB_VISIBLE,
    SYSU_INFRARED,
    SYSU_VISIBLE,
    Spectrum,
    World,
    camera_of,
    spectrum_of,
)

__all__ = [
    "REGDB_THERMAL",
    "REGDB_VISIBLE",
    "SYSU_INFRARED",
    "SYSU_VISIBLE",
    "Part",
    "Person",
    "Spectrum",
    "World",
    "Written",
    "camera_of",
    "cameras_of",
    "contact_sheet",
    "person_of",
    "render",
    "render_many",
    "spectrum_of",
    "write_llcm",
    "write_regdb",
    "write_sysu",
]
