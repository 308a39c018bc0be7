"""The test protocols as data: which images are queries and which the gallery, trial by trial.

An evaluator extracts each image of a `Benchmark` once and picks rows:

    features = extract(benchmark.images)                            # (N, D), unit rows
    for protocol in benchmark.protocols:
        for trial in protocol.trials:
            similarity = features[trial.query] @ features[trial.gallery].T
            scores = cross_modality_scores(
                similarity, benchmark.identities[trial.query], benchmark.identities[trial.gallery],
                benchmark.cameras[trial.query], benchmark.cameras[trial.gallery],
                excluded_cameras=protocol.excluded_cameras, distinct_identities=protocol.distinct_identities,
            )

Sizes: N images, Q queries, G gallery images of a trial.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.data.records import (
    SYSU_CAMERAS,
    check_regdb_trial,
    read_ids,
    read_regdb_list,
    require_folder,
    sysu_images,
)
from tokenmatcher.errors import UserError

SYSU_GALLERY_CAMERAS: dict[str, tuple[int, ...]] = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
SYSU_TRIALS = range(10)
SYSU_SHOTS = (1, 10)
SYSU_EXCLUDED_CAMERAS = frozenset({(3, 2)})
"""(query camera, gallery camera) of the same place: cam3's queries do not see cam2's images, whoever they show."""

PersonCamera = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Trial:
    """One draw: `query` (Q,) and `gallery` (G,) int64 index into the images of the benchmark."""

    query: np.ndarray
    gallery: np.ndarray


@dataclass(frozen=True, eq=False)
class Protocol:
    """Trials scored by one rule, whose mean is reported; see `cross_modality_scores` for the rule's two parts."""

    name: str
    trials: tuple[Trial, ...]
    excluded_cameras: frozenset[tuple[int, int]]
    distinct_identities: bool


@dataclass(frozen=True)
class Benchmark:
    """Protocols over one set of images, each image in it once."""

    images: tuple[ImageRecord, ...]
    protocols: tuple[Protocol, ...]

    @cached_property
    def identities(self) -> np.ndarray:
        """(N,) int64"""
        return np.array([record.identity for record in self.images], dtype=np.int64)

    @cached_property
    def cameras(self) -> np.ndarray:
        """(N,) int64"""
        return np.array([record.camera for record in self.images], dtype=np.int64)


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
    index = _ImageIndex()
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


def regdb_test(data_dir: Path | str, trial: int) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """The visible and the thermal test images of one trial, in the order of its lists.

    Raises:
        UserError: a trial that is none of 1..10, or a list or image that is missing or wrong.
    """
    data_dir = Path(data_dir)
    check_regdb_trial(trial)
    require_folder(data_dir)
    visible, thermal = (
        read_regdb_list(data_dir, "test", modality, trial) for modality in (Modality.VISIBLE, Modality.INFRARED)
    )
    return visible, thermal


def regdb_benchmark(data_dir: Path | str, trial: int) -> Benchmark:
    """RegDB's two directions for one trial, whose split only that trial's own model may be tested on.

    Raises: as `regdb_test`.
    """
    index = _ImageIndex()
    visible, infrared = (index.of(records) for records in regdb_test(data_dir, trial))
    directions = (("visible-to-infrared", visible, infrared), ("infrared-to-visible", infrared, visible))
    protocols = tuple(
        Protocol(name, (Trial(query, gallery),), excluded_cameras=frozenset(), distinct_identities=False)
        for name, query, gallery in directions
    )
    return Benchmark(index.images, protocols)


class _ImageIndex:
    """Numbers images in the order in which they first come."""

    def __init__(self) -> None:
        self._number: dict[ImageRecord, int] = {}

    @property
    def images(self) -> tuple[ImageRecord, ...]:
        return tuple(self._number)

    def of(self, records: Iterable[ImageRecord]) -> np.ndarray:
        numbers = [self._number.setdefault(record, len(self._number)) for record in records]
        array = np.array(numbers, dtype=np.int64)
        array.setflags(write=False)
        return array


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
