"""Command line: `python -m tokenmatcher.people {sysu,regdb,llcm,sheet} --out PATH ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from PIL import Image

from tokenmatcher.cli import bars, run
from tokenmatcher.errors import UserError
from tokenmatcher.people.layouts import Written, write_regdb, write_sysu
from tokenmatcher.people.llcm import write_llcm
from tokenmatcher.people.sheet import contact_sheet
from tokenmatcher.people.world import CAMERAS, SYSU_INFRARED, SYSU_VISIBLE, World

# SYSU-MM01: 296 + 99 training people with 22,258 visible and 11,909 infrared images, 96 test people.
REAL_SYSU = {"train_ids": 296, "val_ids": 99, "test_ids": 96, "shots_visible": 18, "shots_infrared": 16}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything else here does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def _add_world(parser: argparse.ArgumentParser) -> None:
    world = World()
    group = parser.add_argument_group("the world")
    group.add_argument("--seed", type=int, default=world.seed, help="number of the world (default: %(default)s)")
    group.add_argument(
        "--nir-correlation",
        type=float,
        default=world.nir_correlation,
        help="share of a garment's near-infrared grey that its luminance decides, 0..1 (default: %(default)s)",
    )
    group.add_argument(
        "--nir-inverted",
        type=float,
        default=world.nir_inverted,
        help="share of patterns that near-infrared inverts or does not see, 0..1 (default: %(default)s)",
    )
    group.add_argument(
        "--camera-cast",
        type=float,
        default=world.camera_cast,
        help="strength of the cameras' colour casts, 0 for none, at most 3 (default: %(default)s)",
    )
    group.add_argument(
        "--occlusion",
        type=float,
        default=world.occlusion,
        help="share of pictures with something before the person, 0..1 (default: %(default)s)",
    )
    group.add_argument("--height", type=int, default=world.height, help="of a picture, pixels (default: %(default)s)")
    group.add_argument("--width", type=int, default=world.width, help="of a picture, pixels (default: %(default)s)")
    group.add_argument(
        "--first-identity",
        type=int,
        default=0,
        metavar="N",
        help="the world's person to begin with; file ids start at 1 all the same (default: %(default)s)",
    )


def _add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to make")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw (default: %(default)s)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m tokenmatcher.people", description="Draw a world of pedestrians.")
    commands = parser.add_subparsers(dest="command", required=True)

    sysu = commands.add_parser("sysu", help="write a tree laid out as SYSU-MM01")
    _add_writing(sysu)
    sysu.add_argument("--train-ids", type=int, default=None, help="training people (default: 100)")
    sysu.add_argument("--val-ids", type=int, default=None, help="validation people (default: 0)")
    sysu.add_argument("--test-ids", type=int, default=None, help="test people (default: 40)")
    sysu.add_argument(
        "--shots-visible", type=int, default=None, help="images per person and visible camera, +-15%% (default: 8)"
    )
    sysu.add_argument(
        "--shots-infrared", type=int, default=None, help="images per person and infrared camera, +-15%% (default: 7)"
    )
    sysu.add_argument(
        "--overlap",
        type=float,
        default=1.0,
        help="share of the training people whom both modalities see; the others are seen by one, half of them by each "
        "(default: %(default)s)",
    )
    sysu.add_argument(
        "--real-size", action="store_true", help="people and images as many as SYSU-MM01 has; other numbers still win"
    )
    _add_world(sysu)

    regdb = commands.add_parser("regdb", help="write a tree laid out as RegDB")
    _add_writing(regdb)
    regdb.add_argument("--ids", type=int, default=412, help="people, an even number (default: %(default)s)")
    regdb.add_argument("--images", type=int, default=10, help="images per person and modality (default: %(default)s)")
    _add_world(regdb)

    llcm = commands.add_parser("llcm", help="write a tree laid out as LLCM")
    _add_writing(llcm)
    llcm.add_argument("--train-ids", type=int, default=100, help="training people (default: %(default)s)")
    llcm.add_argument("--test-ids", type=int, default=40, help="test people (default: %(default)s)")
    llcm.add_argument(
        "--shots", type=int, default=5, help="images per person, camera and modality (default: %(default)s)"
    )
    _add_world(llcm)

    sheet = commands.add_parser("sheet", help="write a contact sheet: rows are people, columns cameras")
    sheet.add_argument("--out", type=Path, required=True, metavar="FILE", help="PNG file to write")
    sheet.add_argument("--people", type=int, default=10, help="rows (default: %(default)s)")
    sheet.add_argument("--shots", type=int, default=2, help="images per person and camera (default: %(default)s)")
    sheet.add_argument(
        "--cameras",
        type=int,
        nargs="+",
        choices=CAMERAS,
        default=[*SYSU_VISIBLE, *SYSU_INFRARED],
        metavar="CAMERA",
        help="1..6 as in SYSU-MM01 (3 and 6 infrared), 7 and 8 RegDB's visible and thermal, 9..17 LLCM's "
        "(default: 1 2 4 5 3 6)",
    )
    _add_world(sheet)
    return parser


def _report(written: Written) -> None:
    verb = "kept, the same call wrote it before" if written.reused else "written"
    print(f"{written.root}: {written.visible} visible and {written.infrared} infrared images, {verb}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and write. Raises `UserError` for anything the user got wrong."""
    flags = _parser().parse_args(arguments)
    world = World(
        seed=flags.seed,
        nir_correlation=flags.nir_correlation,
        nir_inverted=flags.nir_inverted,
        camera_cast=flags.camera_cast,
        occlusion=flags.occlusion,
        height=flags.height,
        width=flags.width,
    )
    if flags.command == "sheet":
        if flags.people < 1 or flags.shots < 1 or flags.first_identity < 0:
            raise UserError("--people and --shots must be at least 1 and --first-identity not negative")
        people = range(flags.first_identity, flags.first_identity + flags.people)
        picture = Image.fromarray(contact_sheet(world, people, flags.cameras, flags.shots))
        try:
            picture.save(flags.out)
        except (OSError, ValueError) as error:
            raise UserError(f"--out {flags.out} cannot be written: {error}") from error
        print(f"{flags.out}: {flags.people} people, {picture.width} x {picture.height} pixels")
        return
    if flags.command == "regdb":
        _report(
            write_regdb(
                flags.out,
                world,
                ids=flags.ids,
                images=flags.images,
                identity_offset=flags.first_identity,
                workers=flags.workers,
                progress=bars(flags.no_progress),
            )
        )
        return
    if flags.command == "llcm":
        _report(
            write_llcm(
                flags.out,
                world,
                train_ids=flags.train_ids,
                test_ids=flags.test_ids,
                shots=flags.shots,
                identity_offset=flags.first_identity,
                workers=flags.workers,
                progress=bars(flags.no_progress),
            )
        )
        return
    sizes = dict(REAL_SYSU) if flags.real_size else {}
    sizes |= {name: value for name in REAL_SYSU if (value := getattr(flags, name)) is not None}
    sizes["identity_offset"] = flags.first_identity
    progress = bars(flags.no_progress)
    _report(write_sysu(flags.out, world, overlap=flags.overlap, workers=flags.workers, progress=progress, **sizes))


if __name__ == "__main__":
    sys.exit(run(main))
