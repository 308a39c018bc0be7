"""Writing rendered people to disk in the raw layouts of SYSU-MM01 and RegDB; LLCM's: `people.llcm`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from os import getpid
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal

import numpy as np
from PIL import Image
from tqdm import tqdm

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.people.render import render
from tokenmatcher.people.world import (
    REGDB_THERMAL,
    REGDB_VISIBLE,
    SYSU_INFRARED,
    SYSU_VISIBLE,
    Stream,
    World,
)

MANIFEST = "people.json"
VERSION = 1
TRIALS = 10
_JPEG_QUALITY = 90
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture to write: its path below the root and who is seen where."""

    path: str
    identity: int
    camera: int
    number: int
    modality: Modality | None = None  # None: the camera's own


@dataclass(frozen=True, slots=True)
class Written:
    """What a call of `write_sysu`, `write_regdb` or `write_llcm` left behind.

    `reused` tells that an earlier call with the same parameters had written it all.
    """

    root: Path
    visible: int
    infrared: int
    reused: bool


def cameras_of(world: World, identity: int) -> tuple[int, ...]:
    """The SYSU-MM01 cameras that see a person: 2 to 4 visible ones (3.1 on average) and mostly both infrared ones."""
    random = world.random(Stream.PRESENCE, identity)
    visible = random.choice(SYSU_VISIBLE, size=int(random.choice((2, 3, 4), p=(0.28, 0.30, 0.42))), replace=False)
    infrared = random.choice(SYSU_INFRARED, size=int(random.choice((1, 2), p=(0.15, 0.85))), replace=False)
    return tuple(sorted(int(camera) for camera in (*visible, *infrared)))


def seen_by(world: World, people: int, overlap: float) -> list[tuple[Modality, ...]]:
    """By which modalities each of `people` training people is seen: a share of `overlap` by both, the others by one,
    half of them by each."""
    order = world.random(Stream.OVERLAP).permutation(people)
    found: list[tuple[Modality, ...]] = [tuple(Modality)] * people
    for place, person in enumerate(order[round(overlap * people) :]):
        found[person] = (tuple(Modality)[place % 2],)
    return found


def sysu_shots(
    world: World,
    identities: int,
    shots_visible: int,
    shots_infrared: int,
    identity_offset: int = 0,
    seen: Sequence[tuple[Modality, ...]] = (),
) -> Iterator[Shot]:
    """All pictures of a SYSU-MM01 tree of file ids 1..identities, file id 1 being the world's `identity_offset`.
    `seen`: the modalities that see each of the first people."""
    for file_id in range(1, identities + 1):
        identity = identity_offset + file_id - 1
        modalities = seen[file_id - 1] if file_id <= len(seen) else tuple(Modality)
        for camera in cameras_of(world, identity):
            if (Modality.INFRARED if camera in SYSU_INFRARED else Modality.VISIBLE) not in modalities:
                continue
            usual = shots_infrared if camera in SYSU_INFRARED else shots_visible
            spread = world.random(Stream.PRESENCE, identity, camera).uniform(0.85, 1.15)
            for number in range(max(1, round(usual * spread))):
                yield Shot(f"cam{camera}/{file_id:04d}/{number + 1:04d}.jpg", identity, camera, number)


def regdb_shots(world: World, ids: int, images: int, identity_offset: int = 0) -> Iterator[Shot]:
    """All pictures of a RegDB tree of folders 1..ids, `images` of each person in each modality."""
    for file_id in range(1, ids + 1):
        for folder, camera in (("Visible", REGDB_VISIBLE), ("Thermal", REGDB_THERMAL)):
            for number in range(images):
                path = f"{folder}/{file_id}/{folder.lower()}_{file_id:04d}_{number + 1:03d}.bmp"
                yield Shot(path, identity_offset + file_id - 1, camera, number)


def _write_shots(root: Path, world: World, shots: Sequence[Shot]) -> int:
    for shot in shots:
        image = Image.fromarray(render(world, shot.identity, shot.camera, shot.number, shot.modality))
        target = root / shot.path
        if target.suffix == ".jpg":
            image.save(target, quality=_JPEG_QUALITY)
        else:
            image.save(target)
    return len(shots)


def _write_all(root: Path, world: World, shots: Sequence[Shot], workers: int, progress: bool) -> None:
    for folder in sorted({(root / shot.path).parent for shot in shots}):
        folder.mkdir(parents=True, exist_ok=True)
    chunks = [shots[start : start + _CHUNK] for start in range(0, len(shots), _CHUNK)]
    with tqdm(total=len(shots), unit="image", desc="drawing people", disable=not progress) as bar:
        if workers <= 1:
            for chunk in chunks:
                bar.update(_write_shots(root, world, chunk))
            return
        # spawn: the caller may hold threads (PyTorch's), which do not survive a fork. Ctrl-C is the parent's to handle.
        with ProcessPoolExecutor(workers, get_context("spawn"), signal, (SIGINT, SIG_IGN)) as pool:
            futures = [pool.submit(_write_shots, root, world, chunk) for chunk in chunks]
            try:
                for future in futures:
                    bar.update(future.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _finished_before(root: Path, manifest: dict[str, object], shots: Iterable[Shot]) -> bool:
    """Whether the very same call has filled `root`; a `UserError` if something else is there."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise SettingError("{root} is a file, not a folder; choose another {out}", root=root)
    if not any(root.iterdir()):
        return False
    path = root / MANIFEST
    if not path.is_file():
        raise SettingError(f"{{root}} is not empty and holds no {MANIFEST}; choose another {{out}}", root=root)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if found != manifest:
        raise SettingError(
            f"{{root}} holds people drawn with other parameters (see {MANIFEST} there); choose another {{out}}",
            root=root,
        )
    missing = [shot.path for shot in shots if not (root / shot.path).is_file()]
    if missing:
        raise UserError(f"{root} lacks {len(missing)} of its pictures, the first is {missing[0]}; remove the folder")
    return True


def write_tree(
    root: Path,
    world: World,
    layout: str,
    parameters: Mapping[str, float],
    shots: list[Shot],
    write_lists: Callable[[Path], None],
    workers: int,
    progress: bool,
) -> Written:
    """Write into a sibling folder and rename it into place when all is there."""
    if workers < 1:
        raise SettingError(f"{{workers}} must be at least 1, got {workers}")
    manifest: dict[str, object] = {
        "version": VERSION,
        "layout": layout,
        "world": asdict(world),
        "parameters": parameters,
        "pictures": len(shots),
    }
    infrared = sum(
        shot.modality is Modality.INFRARED or shot.camera in (*SYSU_INFRARED, REGDB_THERMAL) for shot in shots
    )
    if _finished_before(root, manifest, shots):
        return Written(root, len(shots) - infrared, infrared, reused=True)
    root = root.absolute()
    partial = root.parent / f".{root.name}.partial-{getpid()}"
    try:
        partial.mkdir(parents=True)
        _write_all(partial, world, shots, workers, progress)
        write_lists(partial)
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if root.exists():
            root.rmdir()
        partial.rename(root)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UserError(f"{root} cannot be written: {error}") from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Written(root, len(shots) - infrared, infrared, reused=False)


def require_counts(**counts: int) -> None:
    """No number of these is negative.

    Raises:
        SettingError: one is; names it.
    """
    for name, value in counts.items():
        if value < 0:
            raise SettingError(f"{{{name}}} must not be negative, got {value}")


def write_sysu(
    root: Path | str,
    world: World,
    *,
    train_ids: int = 100,
    val_ids: int = 0,
    test_ids: int = 40,
    shots_visible: int = 8,
    shots_infrared: int = 7,
    overlap: float = 1.0,
    identity_offset: int = 0,
    workers: int = 1,
    progress: bool = True,
) -> Written:
    """Write a raw SYSU-MM01 tree: `cam1..cam6/<id>/<n>.jpg` and `exp/{train,val,test}_id.txt`.

    Args:
        root: folder to make; must be missing, empty, or written by the very same call before.
        world: the world.
        train_ids, val_ids, test_ids: numbers of people; file ids 1.. train first, then val, then test.
        shots_visible, shots_infrared: pictures per person and camera, give or take 15 %.
        overlap: share of the training and validation people whom both modalities see, 0..1.
        identity_offset: the world's person behind file id 1; trees whose ranges do not meet share nobody.
        workers: processes; any number writes the same bytes.
        progress: whether to show a progress bar on stderr.

    Raises:
        UserError: bad numbers, or a folder that is in the way.
    """
    require_counts(train_ids=train_ids, val_ids=val_ids, test_ids=test_ids, first_identity=identity_offset)
    if train_ids + val_ids + test_ids == 0:
        raise SettingError("{train_ids}, {val_ids} and {test_ids} are all 0: nobody to draw")
    if min(shots_visible, shots_infrared) < 1:
        raise SettingError(
            f"{{shots_visible}} and {{shots_infrared}} must be at least 1, got {shots_visible} and {shots_infrared}"
        )
    if not 0 <= overlap <= 1:
        raise SettingError(f"{{overlap}} must lie between 0 and 1, got {overlap}")
    sizes = {"train": train_ids, "val": val_ids, "test": test_ids}

    def write_lists(folder: Path) -> None:
        (folder / "exp").mkdir()
        first = 1
        for name, size in sizes.items():
            line = ",".join(str(number) for number in range(first, first + size))
            (folder / "exp" / f"{name}_id.txt").write_text(line + "\n", encoding="ascii")
            first += size
        for camera in (*SYSU_VISIBLE, *SYSU_INFRARED):
            (folder / f"cam{camera}").mkdir(exist_ok=True)

    seen = seen_by(world, train_ids + val_ids, overlap)
    shots = list(sysu_shots(world, sum(sizes.values()), shots_visible, shots_infrared, identity_offset, seen))
    parameters: dict[str, float] = {
        **{f"{name}_ids": size for name, size in sizes.items()},
        "shots_visible": shots_visible,
        "shots_infrared": shots_infrared,
        "identity_offset": identity_offset,
        **({} if overlap == 1 else {"overlap": overlap}),
    }
    return write_tree(Path(root), world, "sysu", parameters, shots, write_lists, workers, progress)


def write_regdb(
    root: Path | str,
    world: World,
    *,
    ids: int = 412,
    images: int = 10,
    identity_offset: int = 0,
    workers: int = 1,
    progress: bool = True,
) -> Written:
    """Write a raw RegDB tree: `Visible|Thermal/<id>/*.bmp` and `idx/{train,test}_{visible,thermal}_<trial>.txt`.

    Each of the ten trials splits the people into halves of its own; labels count from 0 within each half.

    Args:
        root: folder to make; must be missing, empty, or written by the very same call before.
        world: the world.
        ids: number of people, even.
        images: pictures of each person in each modality.
        identity_offset, workers, progress: as for `write_sysu`.

    Raises:
        UserError: bad numbers, or a folder that is in the way.
    """
    require_counts(first_identity=identity_offset)
    if ids < 2 or ids % 2:
        raise SettingError(f"{{ids}} must be even and at least 2, got {ids}")
    if images < 1:
        raise SettingError(f"{{images}} must be at least 1, got {images}")
    shots = list(regdb_shots(world, ids, images, identity_offset))
    paths: dict[tuple[str, int], list[str]] = {}
    for shot in shots:
        folder, file_id, _ = shot.path.split("/")
        paths.setdefault((folder, int(file_id)), []).append(shot.path)

    def write_lists(target: Path) -> None:
        (target / "idx").mkdir()
        for trial in range(1, TRIALS + 1):
            people = np.arange(1, ids + 1)
            world.random(Stream.TRIAL, trial).shuffle(people)
            halves = {"train": sorted(people[: ids // 2]), "test": sorted(people[ids // 2 :])}
            for half, members in halves.items():
                for folder in ("Visible", "Thermal"):
                    lines = [
                        f"{path} {label}\n"
                        for label, person in enumerate(members)
                        for path in paths[folder, int(person)]
                    ]
                    name = f"{half}_{folder.lower()}_{trial}.txt"
                    (target / "idx" / name).write_text("".join(lines), encoding="ascii")

    parameters = {"ids": ids, "images": images, "identity_offset": identity_offset}
    return write_tree(Path(root), world, "regdb", parameters, shots, write_lists, workers, progress)
