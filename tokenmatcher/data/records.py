"""From directory trees to `ImageRecord`s, always sorted, and the small text files beside them.

Cameras: SYSU-MM01 has cam1, 2, 4, 5 (visible) and cam3, 6 (infrared). RegDB has one camera of each
modality; both are number 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.errors import UserError

Dataset = Literal["sysu", "regdb"]

SYSU_CAMERAS = {Modality.VISIBLE: (1, 2, 4, 5), Modality.INFRARED: (3, 6)}
REGDB_CAMERA = 1
REGDB_TRIALS = range(1, 11)
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
COPY_FOLDERS = {Modality.VISIBLE: "rgb_modify", Modality.INFRARED: "ir_modify"}
REGDB_LIST_NAMES = {Modality.VISIBLE: "visible", Modality.INFRARED: "thermal"}

_COPY_NAME = re.compile(r"(\d+)_c(\d)_.+", re.ASCII | re.DOTALL)


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name; none if there is no such folder.

    Other files, hidden files (`._x.jpg`) and folders are passed over.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (40,000 names)
                and entry.is_file()
            )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:  # names the entry of a loop of links, else the folder
        raise UserError(f"cannot read {error.filename or folder}: {error.strerror}") from error
    return [folder / name for name in names]


def read_training(
    data_dir: Path | str, dataset: Dataset, trial: int | None = None
) -> dict[Modality, list[ImageRecord]]:
    """The training images of both modalities from the converted copy, sorted by file name.

    Args:
        data_dir: the data set's folder, holding `rgb_modify/` and `ir_modify/`.
        dataset: "sysu" or "regdb".
        trial: RegDB's split, 1 to 10; None for SYSU-MM01.

    Raises:
        UserError: the copy is missing, a modality has no image, an image lies in the wrong modality, or
            RegDB's trial is none of 1..10.
        ValueError: a trial for SYSU-MM01.
    """
    data_dir = Path(data_dir)
    if dataset == "sysu" and trial is not None:
        raise ValueError("SYSU-MM01 has no trials to train on")
    if dataset == "regdb":
        check_regdb_trial(trial)
    require_folder(data_dir)
    records: dict[Modality, list[ImageRecord]] = {}
    for modality, name in COPY_FOLDERS.items():
        folder = data_dir / name / (str(trial) if dataset == "regdb" else "") / "bounding_box_train"
        if not folder.is_dir():
            raise UserError(
                f"no training copy at {folder}; make it with: python prepare_{dataset}.py --data-dir {data_dir}"
            )
        cameras = SYSU_CAMERAS[modality] if dataset == "sysu" else (REGDB_CAMERA,)
        records[modality] = _read_copy(folder, modality, cameras)
        if not records[modality]:
            raise UserError(f"no {modality} training image in {folder}")
    return records


def _read_copy(folder: Path, modality: Modality, cameras: tuple[int, ...]) -> list[ImageRecord]:
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


def copy_name(record: ImageRecord) -> str:
    """The image's file name in the converted copy: `<id, 4 digits>_c<camera>_<original name>`."""
    return f"{record.identity:04d}_c{record.camera}_{record.path.name}"


def sysu_images(data_dir: Path, identity: int, cameras: Iterable[int]) -> list[ImageRecord]:
    """One person's images in the raw SYSU-MM01 tree, camera by camera in the order given."""
    return [
        ImageRecord(path, sysu_modality(camera), camera, identity)
        for camera in cameras
        for path in image_files(data_dir / f"cam{camera}" / f"{identity:04d}")
    ]


def sysu_modality(camera: int) -> Modality:
    return Modality.INFRARED if camera in SYSU_CAMERAS[Modality.INFRARED] else Modality.VISIBLE


def read_ids(path: Path) -> list[int]:
    """The distinct identities of an id list (`exp/train_id.txt`), ascending.

    Commas, blanks and line ends separate; a byte-order mark and empty entries are passed over.

    Raises:
        UserError: no such file, or an entry that is not a number.
    """
    entries = [entry for entry in re.split(r"[,\s]+", _read_text(path)) if entry]
    for entry in entries:
        if not (entry.isascii() and entry.isdigit() and len(entry) < 10):
            raise UserError(f"{path}: {entry[:40]!r} is not an identity number")
    return sorted({int(entry) for entry in entries})


def regdb_list(data_dir: Path, split: Literal["train", "test"], modality: Modality, trial: int) -> Path:
    """Where RegDB's list of a split, modality and trial lies."""
    return data_dir / "idx" / f"{split}_{REGDB_LIST_NAMES[modality]}_{trial}.txt"


def read_regdb_list(
    data_dir: Path, split: Literal["train", "test"], modality: Modality, trial: int
) -> list[ImageRecord]:
    """The images of a RegDB list in its order; a line is `<path relative to data_dir> <label>`.

    Raises:
        UserError: no such list, an empty one, or a line that has no label, leaves `data_dir`, names an
            absent file or one that was listed before.
    """
    path = regdb_list(data_dir, split, modality, trial)
    records: dict[Path, ImageRecord] = {}
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        entry, _, label = line.strip().replace("\t", " ").rpartition(" ")
        entry = entry.rstrip()
        if not (entry and label.isascii() and label.isdigit() and len(label) < 10):
            raise UserError(f"{where}: {line.strip()[:80]!r} is not '<relative path> <label>'")
        if _leaves_root(entry):
            raise UserError(f"{where}: {entry[:80]!r} leads out of the data folder")
        image = data_dir / entry
        if not os.path.isfile(image):  # noqa: PTH113 (False, not an error, where a name is too long)
            raise UserError(f"{where}: no such file: {image}")
        if image in records:
            raise UserError(f"{where}: {entry[:80]!r} is listed twice")
        records[image] = ImageRecord(image, modality, REGDB_CAMERA, int(label))
    if not records:
        raise UserError(f"{path} lists no image")
    return list(records.values())


def check_regdb_trial(trial: int | None) -> int:
    """`trial` itself.

    Raises:
        UserError: it is none of 1..10.
    """
    if trial is None or trial not in REGDB_TRIALS:
        raise UserError(f"--trial must lie in {REGDB_TRIALS[0]}..{REGDB_TRIALS[-1]} for RegDB, got {trial}")
    return trial


def require_folder(data_dir: Path) -> None:
    """Raises UserError if there is no folder `data_dir`."""
    if not data_dir.is_dir():
        raise UserError(f"no such folder: {data_dir} (--data-dir)")


def _leaves_root(entry: str) -> bool:
    paths = PurePosixPath(entry), PureWindowsPath(entry)
    return any(path.anchor or ".." in path.parts for path in paths)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text") from error
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path} (is --data-dir right?)") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
