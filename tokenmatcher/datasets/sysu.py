"""SYSU-MM01 (Wu et al., ICCV 2017): 491 people, four visible and two infrared cameras.

cam1..cam6/<id, 4 digits>/*.jpg      cam1, 2, 4, 5 visible; cam3, 6 infrared
exp/{train,val,test}_id.txt          one line of ids
{rgb,ir}_modify/                     the training copy, from `prepare`
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.base import Dataset, Option, Size, Training
from tokenmatcher.datasets.copy import TRAIN, Plan, copy_name, read_copy, write_copies
from tokenmatcher.datasets.files import image_files, read_ids, require_folder
from tokenmatcher.datasets.protocols import Benchmark, ImageIndex, Protocol, Trial
from tokenmatcher.datasets.summary import Count, Summary, few
from tokenmatcher.errors import UserError

SYSU_CAMERAS = {Modality.VISIBLE: (1, 2, 4, 5), Modality.INFRARED: (3, 6)}
SYSU_SIZE = Size(395, {Modality.VISIBLE: 22_258, Modality.INFRARED: 11_909})
TEST_IDS, QUERIES, GALLERY = 96, 3_803, 301  # of the real test: people, queries, gallery of an all-search trial
QUERIES_PER_IDENTITY = 4  # of the copy's folder `query`
_ROLES = ("train", "val", "test")

MODES = {"all": ("all",), "indoor": ("indoor",), "both": ("all", "indoor")}
SYSU_GALLERY_CAMERAS: dict[str, tuple[int, ...]] = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
SYSU_TRIALS = range(10)
SYSU_SHOTS = (1, 10)
SYSU_EXCLUDED_CAMERAS = frozenset({(3, 2)})
"""(query camera, gallery camera) of the same place: cam3's queries do not see cam2's images, whoever they show."""

PersonCamera = tuple[int, int]
SYSU_OPTIONS = {
    "mode": Option("both", tuple(MODES), "gallery cameras"),
    "shots": Option(1, SYSU_SHOTS, "gallery images of a person and camera"),
}


class Sysu(Dataset):
    name, title = "sysu", "SYSU-MM01"
    cameras = SYSU_CAMERAS
    size = SYSU_SIZE
    options = SYSU_OPTIONS

    def prepare(self, data_dir: Path) -> Summary:
        return prepare_sysu(data_dir)

    def training(self, data_dir: Path, trial: int | None = None) -> Training:
        self.check_trial(trial)
        return read_copy(data_dir, TRAIN, SYSU_CAMERAS, "python prepare_sysu.py")

    def has_test(self, data_dir: Path, trial: int | None = None) -> bool:
        listed = data_dir / "exp" / "test_id.txt"
        return listed.is_file() and bool(listed.read_bytes().strip())

    def benchmark(
        self, data_dir: Path, trial: int | None = None, options: Mapping[str, Any] | None = None
    ) -> Benchmark:
        chosen = self.chosen(options)
        return sysu_benchmark(data_dir, MODES[chosen["mode"]], chosen["shots"])


def sysu_images(data_dir: Path, identity: int, cameras: Iterable[int]) -> list[ImageRecord]:
    """One person's images in the raw SYSU-MM01 tree, camera by camera in the order given."""
    return [
        ImageRecord(path, sysu_modality(camera), camera, identity)
        for camera in cameras
        for path in image_files(data_dir / f"cam{camera}" / f"{identity:04d}")
    ]


def sysu_modality(camera: int) -> Modality:
    return Modality.INFRARED if camera in SYSU_CAMERAS[Modality.INFRARED] else Modality.VISIBLE


def sysu_queries(data_dir: Path | str) -> list[ImageRecord]:
    """Every infrared image of the test ids: by id, then camera (3, 6), then name.

    Raises:
        UserError: no id list, or no such image.
    """
    data_dir = Path(data_dir)
    cameras = SYSU_CAMERAS[Modality.INFRARED]
    queries = [record for identity in _sysu_test_ids(data_dir) for record in sysu_images(data_dir, identity, cameras)]
    if not queries:
        raise UserError(f"no infrared image of the test ids in {data_dir} (cam3, cam6)")
    return queries


def sysu_gallery(data_dir: Path | str, mode: str = "all", trial: int = 0, shots: int = 1) -> list[ImageRecord]:
    """One trial's draw of the gallery, the same as the published protocol's.

    Args:
        mode: "all" draws from cameras 1, 2, 4, 5; "indoor" from 1, 2.
        trial: 0 to 9, the seed. The draw has a generator of its own.
        shots: images of each person and camera: 1, or 10 (all where there are fewer).

    Raises:
        UserError: no id list, or no visible image of the test ids.
        ValueError: a mode, trial or number of shots that the protocol does not have.
    """
    return _draw_gallery(_sysu_gallery_folders(Path(data_dir)), mode, trial, shots)


def sysu_benchmark(
    data_dir: Path | str,
    modes: Iterable[str] = ("all", "indoor"),
    shots: int = 1,
    trials: Iterable[int] = SYSU_TRIALS,
) -> Benchmark:
    """SYSU-MM01's protocols, named "all" and "indoor".

    Raises: as `sysu_queries` and `sysu_gallery`.
    """
    folders = _sysu_gallery_folders(Path(data_dir))
    index = ImageIndex()
    query = index.of(sysu_queries(data_dir))
    trials = tuple(trials)
    protocols = [
        Protocol(
            name=mode,
            trials=tuple(Trial(query, index.of(_draw_gallery(folders, mode, trial, shots))) for trial in trials),
            excluded_cameras=SYSU_EXCLUDED_CAMERAS,
            distinct_identities=True,
        )
        for mode in modes
    ]
    return Benchmark(index.images, tuple(protocols))


def _sysu_test_ids(data_dir: Path) -> list[int]:
    require_folder(data_dir)
    return read_ids(data_dir / "exp" / "test_id.txt")


def _sysu_gallery_folders(data_dir: Path) -> dict[PersonCamera, list[ImageRecord]]:
    """Images of each person and visible camera that has any, sorted by name; by id, then camera."""
    folders = {
        (identity, camera): images
        for identity in _sysu_test_ids(data_dir)
        for camera in SYSU_GALLERY_CAMERAS["all"]
        if (images := sysu_images(data_dir, identity, (camera,)))
    }
    if not folders:
        raise UserError(f"no visible image of the test ids in {data_dir} (cam1, cam2, cam4, cam5)")
    return folders


def _draw_gallery(
    folders: dict[PersonCamera, list[ImageRecord]], mode: str, trial: int, shots: int
) -> list[ImageRecord]:
    if mode not in SYSU_GALLERY_CAMERAS:
        raise ValueError(f"mode must be 'all' or 'indoor', got {mode!r}")
    if trial not in SYSU_TRIALS:
        raise ValueError(f"trial must lie in 0..9, got {trial}")
    if shots not in SYSU_SHOTS:
        raise ValueError(f"shots must be 1 or 10, got {shots}")
    generator = random.Random(trial)
    gallery: list[ImageRecord] = []
    for (_, camera), images in folders.items():
        if camera not in SYSU_GALLERY_CAMERAS[mode]:
            continue
        if shots == 1:
            gallery.append(generator.choice(images))
        else:
            gallery += generator.sample(images, min(shots, len(images)))
    if not gallery:
        raise UserError(f"no visible image of the test ids for {mode}-search")
    return gallery


def prepare_sysu(data_dir: Path | str) -> Summary:
    """Write SYSU-MM01's training copy into `data_dir` and count what is there.

    Training ids are those of train_id.txt and val_id.txt. `query` holds each test id's first 4 images of
    the modality over its cameras in order, `bounding_box_test` the rest; the protocols read neither.
    A copy that is right already is left alone.

    Raises:
        UserError: a file or modality is missing, an image cannot be opened, an id is in both splits, or
            the copy cannot be written.
    """
    data_dir = Path(data_dir)
    require_folder(data_dir)
    listed = {role: read_ids(data_dir / "exp" / f"{role}_id.txt") for role in _ROLES}
    training_ids = sorted({*listed["train"], *listed["val"]})
    shared = sorted(set(training_ids) & set(listed["test"]))
    if shared:
        raise UserError(f"{data_dir / 'exp'}: ids both of training and of test: {few(shared)}")

    plans: dict[Modality, Plan] = {}
    training: list[ImageRecord] = []
    testing: list[ImageRecord] = []
    for modality, cameras in SYSU_CAMERAS.items():
        train = [record for identity in training_ids for record in sysu_images(data_dir, identity, cameras)]
        if not train:
            folders = ", ".join(f"cam{camera}" for camera in cameras)
            raise UserError(f"no {modality} training image in {data_dir} ({folders}/<id, 4 digits>/*.jpg)")
        plan = {Path(TRAIN) / copy_name(record): record.path for record in train}
        for identity in listed["test"]:
            images = sysu_images(data_dir, identity, cameras)
            for place, record in enumerate(images):
                folder = "query" if place < QUERIES_PER_IDENTITY else "bounding_box_test"
                plan[Path(folder) / copy_name(record)] = record.path
            testing += images
        training += train
        plans[modality] = plan
    write_copies(data_dir, plans, (TRAIN, "query", "bounding_box_test"))
    return _summarise_sysu(data_dir, listed, training, testing)


def _summarise_sysu(
    data_dir: Path, listed: dict[str, list[int]], training: list[ImageRecord], testing: list[ImageRecord]
) -> Summary:
    real: dict[str, tuple[int, dict[Modality, int | None]]] = {
        "training": (SYSU_SIZE.identities, {**SYSU_SIZE.images}),
        "test": (TEST_IDS, {Modality.VISIBLE: None, Modality.INFRARED: QUERIES}),
    }
    counts: list[Count] = []
    for split, records in (("training", training), ("test", testing)):
        real_ids, real_images = real[split]
        counts.append(Count(f"{split} ids", len({record.identity for record in records}), real_ids))
        per_camera = Counter(record.camera for record in records)
        for modality, cameras in SYSU_CAMERAS.items():
            role = " (queries)" if (split, modality) == ("test", Modality.INFRARED) else ""
            found = sum(per_camera[camera] for camera in cameras)
            counts.append(Count(f"  {modality} {split} images{role}", found, real_images[modality]))
            counts += [Count(f"    cam{camera} {split} images", per_camera[camera]) for camera in cameras]
    # A trial draws one image of each person and visible camera.
    gallery = {(record.identity, record.camera) for record in testing if record.modality is Modality.VISIBLE}
    counts.append(Count("  gallery of an all-search trial", len(gallery), GALLERY))

    # 296: train_id.txt alone; 367: what users report who lost part of val_id.txt. Smaller trees need no such question.
    hint = "; were the ids of exp/val_id.txt forgotten?" if counts[0].found in (296, 367) else ""
    present = {record.identity for record in (*training, *testing)}
    absent = sorted({identity for ids in listed.values() for identity in ids} - present)
    return Summary("SYSU-MM01", data_dir, tuple(counts), hint, tuple(absent))
