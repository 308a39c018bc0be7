"""The market1501-style training copy that the field's code shares: `<id, 4 digits>_c<camera>_<original name>`.

It costs no disk space where the file system has hard links. It is built beside its place and renamed into it, so there
is never half a copy, and files that no longer belong vanish.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.files import image_files, require_folder
from tokenmatcher.errors import UserError
from tokenmatcher.images.pictures import opened

COPY_FOLDERS = {Modality.VISIBLE: "rgb_modify", Modality.INFRARED: "ir_modify"}
TRAIN = "bounding_box_train"

_COPY_NAME = re.compile(r"(\d+)_c(\d)_.+", re.ASCII | re.DOTALL)

Plan = dict[Path, Path]
"""Path inside the copy -> the image it stands for."""


def copy_name(record: ImageRecord) -> str:
    """The image's file name in the converted copy: `<id, 4 digits>_c<camera>_<original name>`."""
    return f"{record.identity:04d}_c{record.camera}_{record.path.name}"


def read_copy(
    data_dir: Path, inside: str, cameras: Mapping[Modality, tuple[int, ...]], command: str
) -> dict[Modality, list[ImageRecord]]:
    """The training images of both modalities, sorted by file name.

    Args:
        inside: where in `rgb_modify/` and `ir_modify/` they lie.
        cameras: of each modality.
        command: what makes the copy.

    Raises:
        UserError: the copy is missing, a modality has no image, or an image lies in the wrong modality.
    """
    require_folder(data_dir)
    records: dict[Modality, list[ImageRecord]] = {}
    for modality, name in COPY_FOLDERS.items():
        folder = data_dir / name / inside
        if not folder.is_dir():
            raise UserError(f"no training copy at {folder}; make it with: {command} --data-dir {data_dir}")
        records[modality] = _read_folder(folder, modality, cameras[modality])
        if not records[modality]:
            raise UserError(f"no {modality} training image in {folder}")
    return records


def _read_folder(folder: Path, modality: Modality, cameras: tuple[int, ...]) -> list[ImageRecord]:
    records = []
    for path in image_files(folder):
        parts = _COPY_NAME.fullmatch(path.name)
        if parts is None:
            continue
        camera = int(parts[2])
        if camera not in cameras:
            raise UserError(f"{path} is of camera {camera}, but {modality} cameras are {', '.join(map(str, cameras))}")
        records.append(ImageRecord(path, modality, camera, int(parts[1])))
    return records


def write_copies(data_dir: Path, plans: dict[Modality, Plan], folders: Iterable[str | Path]) -> None:
    """Bring `rgb_modify` and `ir_modify` to what their plans say; both are built before either is swapped in."""
    check_images(source for plan in plans.values() for source in plan.values())
    # A copy kept elsewhere behind a link stays there.
    places = {(data_dir / COPY_FOLDERS[modality]).resolve(): plan for modality, plan in plans.items()}
    try:
        for place in places:
            _clear_leftovers(place)
        stale = {place: plan for place, plan in places.items() if not _is_right(place, plan)}
        try:
            for place, plan in stale.items():
                _build(_beside(place)[0], plan, folders)
            for place in stale:
                new, old = _beside(place)
                if place.exists():
                    place.rename(old)
                new.rename(place)
        finally:
            for place in stale:
                _clear_leftovers(place)
    except OSError as error:
        raise UserError(f"cannot write the training copy in {data_dir}: {error}") from error


def _beside(place: Path) -> tuple[Path, Path]:
    """Where the new copy is built and where the old one steps aside."""
    return place.with_name(f".{place.name}.new"), place.with_name(f".{place.name}.old")


def _clear_leftovers(place: Path) -> None:
    """Undo what was cut off: the old copy goes back if nothing took its place, half-built ones go."""
    new, old = _beside(place)
    if old.exists() and not place.exists():
        old.rename(place)
    for leftover in (new, old):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def check_images(paths: Iterable[Path]) -> None:
    """Read each image's header.

    Raises:
        UserError: names the first that is not an image.
    """
    for path in tqdm(sorted(set(paths)), desc="checking images", unit="image", disable=None):
        with opened(path):
            pass


def _is_right(place: Path, plan: Plan) -> bool:
    """Whether the folder holds exactly the planned files: the images themselves or unchanged copies."""
    present = {Path(root, name).relative_to(place) for root, _, names in os.walk(place) for name in names}
    return present == plan.keys() and all(_is_same(place / target, source) for target, source in plan.items())


def _is_same(copy: Path, source: Path) -> bool:
    if not copy.exists():
        return False
    a, b = copy.stat(), source.stat()
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) or (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)


def _build(new: Path, plan: Plan, folders: Iterable[str | Path]) -> None:
    for folder in folders:
        (new / folder).mkdir(parents=True)
    for target, source in tqdm(plan.items(), desc=f"writing {new.name.strip('.')}", unit="image", disable=None):
        _link_or_copy(source.resolve() if source.is_symlink() else source, new / target)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
