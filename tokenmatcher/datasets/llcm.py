"""LLCM (Zhang and Wang, CVPR 2023): 1,064 people, nine cameras, each with visible and near-infrared images, low light.

    idx/train_vis.txt, idx/train_nir.txt      a line is `<relative path> <label>`; the name of a file says its camera:
                                              nir/0001/0001_c01_s185535_f7010_nir.jpg
    idx/test_id.txt                           one line of ids
    test_vis/cam1..9/<id, 4 digits>/*.jpg     test_nir/cam1, 2, 4..9/<id, 4 digits>/*.jpg

Training reads the lists: there is no copy to be made.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.base import Dataset, Option, Size, Training
from tokenmatcher.datasets.copy import check_images
from tokenmatcher.datasets.files import image_files, read_ids, read_list, require_folder
from tokenmatcher.datasets.protocols import DIRECTIONS, Benchmark, ImageIndex, Protocol, Trial
from tokenmatcher.datasets.summary import Count, Summary, few
from tokenmatcher.errors import UserError

LLCM_CAMERAS = {Modality.VISIBLE: tuple(range(1, 10)), Modality.INFRARED: (1, 2, 4, 5, 6, 7, 8, 9)}
LLCM_SIZE = Size(713, {Modality.VISIBLE: 16_946, Modality.INFRARED: 13_975})
TEST_SIZE = Size(351, {Modality.VISIBLE: 8_680, Modality.INFRARED: 7_166})
LLCM_TRIALS = range(10)
SHORT = {Modality.VISIBLE: "vis", Modality.INFRARED: "nir"}

_CAMERA = re.compile(r"_c0*([1-9])_", re.ASCII)
LLCM_OPTIONS = {"direction": Option("both", (*DIRECTIONS, "both"), "query to gallery")}


class LLCM(Dataset):
    name, title = "llcm", "LLCM"
    cameras = LLCM_CAMERAS
    size = LLCM_SIZE
    note = "LLCM's presets take SYSU-MM01's numbers, with one camera_eps for all cameras [D]"
    options = LLCM_OPTIONS

    def prepare(self, data_dir: Path) -> Summary:
        return prepare_llcm(data_dir)

    def training(self, data_dir: Path, trial: int | None = None) -> Training:
        self.check_trial(trial)
        require_folder(data_dir)
        return {m: training_list(data_dir, m) for m in Modality}

    def has_test(self, data_dir: Path, trial: int | None = None) -> bool:
        return (data_dir / "idx" / "test_id.txt").is_file()

    def benchmark(
        self, data_dir: Path, trial: int | None = None, options: Mapping[str, Any] | None = None
    ) -> Benchmark:
        direction = self.chosen(options)["direction"]
        return llcm_benchmark(data_dir, DIRECTIONS if direction == "both" else (direction,))


def training_list(data_dir: Path, modality: Modality) -> list[ImageRecord]:
    """The training images of a modality, in the order of its list.

    Raises:
        UserError: as `read_list`, or a file's name does not say its camera.
    """
    path = data_dir / "idx" / f"train_{SHORT[modality]}.txt"
    return [
        ImageRecord(image, modality, _camera_of(image, path), label)
        for image, label in read_list(path, data_dir).items()
    ]


def _camera_of(image: Path, path: Path) -> int:
    found = _CAMERA.search(image.name)
    if found is None:
        raise UserError(f"{path}: the name of {image} does not say its camera (_c01_ to _c09_)")
    return int(found[1])


def llcm_images(data_dir: Path, modality: Modality, identity: int, cameras: Iterable[int]) -> list[ImageRecord]:
    """One test person's images of a modality, camera by camera in the order given."""
    return [
        ImageRecord(path, modality, camera, identity)
        for camera in cameras
        for path in image_files(data_dir / f"test_{SHORT[modality]}" / f"cam{camera}" / f"{identity:04d}")
    ]


def llcm_benchmark(data_dir: Path | str, directions: Iterable[str] = DIRECTIONS) -> Benchmark:
    """Both directions: all test images of a modality against ten galleries of the other, one image of each person and
    camera, drawn as on SYSU-MM01. A query does not see its own person by its own camera.

    Raises:
        UserError: no id list, or no test image of a modality.
    """
    data_dir = Path(data_dir)
    ids = _test_ids(data_dir)
    index = ImageIndex()
    queries, galleries = {}, {}
    for m in Modality:
        folders = [
            images for identity in ids for c in LLCM_CAMERAS[m] if (images := llcm_images(data_dir, m, identity, (c,)))
        ]
        if not folders:
            raise UserError(f"no {m} image of the test ids in {data_dir / f'test_{SHORT[m]}'} (cam1, ..)")
        queries[m] = index.of([record for images in folders for record in images])
        drawers = [random.Random(trial) for trial in LLCM_TRIALS]
        galleries[m] = [index.of([drawer.choice(images) for images in folders]) for drawer in drawers]
    protocols = tuple(
        Protocol(
            name,
            tuple(Trial(queries[Modality(query)], gallery) for gallery in galleries[Modality(query).other]),
            excluded_cameras=frozenset(),
            distinct_identities=True,
            own_camera_excluded=True,
        )
        for name in directions
        for query in (name.split("-")[0],)
    )
    return Benchmark(index.images, protocols)


def prepare_llcm(data_dir: Path | str) -> Summary:
    """Check LLCM's tree and count what is there; nothing is written.

    Raises:
        UserError: a list, file or modality is missing or wrong, or an image cannot be opened.
    """
    data_dir = Path(data_dir)
    require_folder(data_dir)
    training = [record for m in Modality for record in training_list(data_dir, m)]
    ids = _test_ids(data_dir)
    testing = [record for m in Modality for i in ids for record in llcm_images(data_dir, m, i, LLCM_CAMERAS[m])]
    for m in Modality:
        if not any(record.modality is m for record in testing):
            raise UserError(f"no {m} image of the test ids in {data_dir / f'test_{SHORT[m]}'} (cam1, ..)")
    # Labels may start again at 0 in each list; the folder is the person.
    folders = {record.path.parent.name for record in training}
    if shared := sorted(identity for identity in ids if f"{identity:04d}" in folders):
        raise UserError(f"{data_dir / 'idx'}: ids both of training and of test: {few(shared)}")
    check_images(record.path for record in (*training, *testing))
    counts = []
    for split, records, real in (("training", training, LLCM_SIZE), ("test", testing, TEST_SIZE)):
        counts.append(Count(f"{split} ids", len({record.identity for record in records}), real.identities))
        per_camera = Counter((record.modality, record.camera) for record in records)
        for m in Modality:
            found = sum(count for (modality, _), count in per_camera.items() if modality is m)
            counts.append(Count(f"  {m} {split} images", found, real.images[m]))
            counts += [
                Count(f"    cam{camera} {m} {split} images", per_camera[m, camera]) for camera in LLCM_CAMERAS[m]
            ]
    absent = sorted(set(ids) - {record.identity for record in testing})
    return Summary("LLCM", data_dir, tuple(counts), "", tuple(absent))


def _test_ids(data_dir: Path) -> list[int]:
    require_folder(data_dir)
    return read_ids(data_dir / "idx" / "test_id.txt")
