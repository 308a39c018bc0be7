"""Tiny data sets in the raw layouts, made by rule: noise in the place of people."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

TRAIN_IDS = (1, 4)
VAL_IDS = (7,)
TEST_IDS = (2, 6, 9)


def write_image(path: Path, seed: int, size: tuple[int, int] = (8, 16)) -> None:
    """Noise of `size` (width, height), in the format of the file's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def sysu_tree(
    root: Path,
    train: Sequence[int] = TRAIN_IDS,
    val: Sequence[int] = VAL_IDS,
    test: Sequence[int] = TEST_IDS,
    seed: int = 0,
) -> Path:
    """SYSU-MM01's layout: 1 to 12 images per person and camera; each third (person, camera) of the test ids missing."""
    rng = random.Random(seed)
    for identity in (*train, *val, *test):
        for camera in range(1, 7):
            if identity in test and (identity + camera) % 3 == 0:
                continue
            for number in range(1, rng.randint(2, 13)):
                write_image(root / f"cam{camera}" / f"{identity:04d}" / f"{number:04d}.jpg", rng.randrange(10**6))
    (root / "exp").mkdir(parents=True)
    for name, ids in (("train", train), ("val", val), ("test", test)):
        (root / "exp" / f"{name}_id.txt").write_text(",".join(map(str, ids)) + "\n")
    return root


def regdb_tree(root: Path, num_ids: int = 4, images: int = 2, trials: Sequence[int] = range(1, 11)) -> Path:
    """RegDB's layout: in each trial a random half of the persons is for training; labels start at 0 in each list."""
    names = {
        (folder, identity): [f"{folder}/{identity}/{folder[0].lower()}_{identity:03d} {n}.bmp" for n in range(images)]
        for folder in ("Visible", "Thermal")
        for identity in range(1, num_ids + 1)
    }
    for seed, name in enumerate(name for listed in names.values() for name in listed):
        write_image(root / name, seed)
    (root / "idx").mkdir(parents=True)
    for trial in trials:
        order = random.Random(trial).sample(range(1, num_ids + 1), num_ids)
        halves = {"train": sorted(order[: num_ids // 2]), "test": sorted(order[num_ids // 2 :])}
        for split, ids in halves.items():
            for folder in ("Visible", "Thermal"):
                lines = [f"{name} {label}\n" for label, identity in enumerate(ids) for name in names[folder, identity]]
                (root / "idx" / f"{split}_{folder.lower()}_{trial}.txt").write_text("".join(lines))
    return root


def strew(root: Path) -> None:
    """Put beside the images what operating systems and people leave there."""
    for folder in [path for path in root.rglob("*") if path.is_dir()]:
        for name in (".DS_Store", "Thumbs.db", "notes.txt", "._0001.jpg"):
            (folder / name).write_bytes(b"\0stray")
        (folder / "a folder.jpg").mkdir()


def listing(folder: Path) -> dict[str, bytes]:
    """Relative path -> content of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def clear_sysu_tree(root: Path) -> Path:
    """SYSU-MM01's layout of people whom nobody confuses, for runs whose labels, matches and neighbours must not hang on
    a rounding error: 8 pictures of each in either modality, all the same, 4 of a camera.

    With k1 = 8 an image's neighbours are its person's images. Persons 7 and 8 are seen in visible light alone and
    resemble 1 and 2. Test persons are 9 and 10.
    """

    def pattern(seed: int) -> np.ndarray:
        return np.random.RandomState(seed).randint(0, 256, (4, 2, 3))

    for person in range(1, 11):
        look = pattern(person) if person not in (7, 8) else (3 * pattern(person - 6) + pattern(person)) // 4
        image = Image.fromarray(look.repeat(8, 0).repeat(8, 1).astype(np.uint8))
        for camera in ((1, 2), (4, 5))[person % 2] + (() if person in (7, 8) else (3, 6)):
            folder = root / f"cam{camera}" / f"{person:04d}"
            folder.mkdir(parents=True)
            for number in range(1, 5):
                image.save(folder / f"{number:04d}.png")
    (root / "exp").mkdir()
    for name, ids in (("train", "1,2,3,4,5,6,7"), ("val", "8"), ("test", "9,10")):
        (root / "exp" / f"{name}_id.txt").write_text(ids + "\n")
    return root


def llcm_tree(root: Path, train: Sequence[int] = (1, 2, 3), test: Sequence[int] = (4, 5), images: int = 2) -> Path:
    """LLCM's layout: nine cameras by day, eight by night; labels of training start at 0."""
    seed = 0
    lines: dict[str, list[str]] = {"vis": [], "nir": []}
    for identity in (*train, *test):
        for short, cameras in (("vis", range(1, 10)), ("nir", (1, 2, 4, 5, 6, 7, 8, 9))):
            for camera in cameras:
                for number in range(images):
                    name = f"{identity:04d}_c{camera:02d}_s1_f{number}_{short}.jpg"
                    path = f"{short}/{identity:04d}/{name}"
                    if identity in test:
                        path = f"test_{short}/cam{camera}/{identity:04d}/{name}"
                    else:
                        lines[short].append(f"{path} {train.index(identity)}\n")
                    write_image(root / path, seed)
                    seed += 1
    (root / "idx").mkdir(parents=True)
    for short, listed in lines.items():
        (root / "idx" / f"train_{short}.txt").write_text("".join(listed))
    (root / "idx" / "test_id.txt").write_text(",".join(map(str, test)) + "\n")
    return root
