"""RegDB (Nguyen et al., Sensors 2017): 412 people, one visible and one thermal camera, ten splits in halves.

    Visible/<folder>/*.bmp, Thermal/<folder>/*.bmp
    idx/{train,test}_{visible,thermal}_<trial>.txt     a line is `<relative path> <label>`
    {rgb,ir}_modify/<trial>/                           the training copy, from `prepare`

Both cameras are number 1. Every trial trains and tests a model of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.base import Dataset, Option, Size, Training
from tokenmatcher.datasets.copy import TRAIN, Plan, copy_name, read_copy, write_copies
from tokenmatcher.datasets.files import read_list, require_folder
from tokenmatcher.datasets.protocols import DIRECTIONS, Benchmark, ImageIndex, Protocol, Trial
from tokenmatcher.datasets.summary import Count, Summary, few
from tokenmatcher.errors import SettingError, UserError

REGDB_CAMERA = 1
REGDB_TRIALS = range(1, 11)
REGDB_SIZE = Size(206, {Modality.VISIBLE: 2_060, Modality.INFRARED: 2_060})  # of training and of test
REGDB_LIST_NAMES = {Modality.VISIBLE: "visible", Modality.INFRARED: "thermal"}
REGDB_CAMERAS = {Modality.VISIBLE: (REGDB_CAMERA,), Modality.INFRARED: (REGDB_CAMERA,)}
REGDB_OPTIONS = {"direction": Option("both", (*DIRECTIONS, "both"), "query to gallery")}


class RegDB(Dataset):
    name, title = "regdb", "RegDB"
    cameras = REGDB_CAMERAS
    trials = REGDB_TRIALS
    size = REGDB_SIZE
    options = REGDB_OPTIONS

    def prepare(self, data_dir: Path) -> Summary:
        return prepare_regdb(data_dir)

    def training(self, data_dir: Path, trial: int | None = None) -> Training:
        inside = f"{self.check_trial(trial)}/{TRAIN}"
        return read_copy(data_dir, inside, self.cameras, "python prepare_regdb.py")

    def has_test(self, data_dir: Path, trial: int | None = None) -> bool:
        return trial is not None and regdb_list(data_dir, "test", Modality.VISIBLE, trial).is_file()

    def benchmark(
        self, data_dir: Path, trial: int | None = None, options: Mapping[str, Any] | None = None
    ) -> Benchmark:
        direction = self.chosen(options)["direction"]
        return regdb_benchmark(data_dir, trial, DIRECTIONS if direction == "both" else (direction,))


def regdb_list(data_dir: Path, split: Literal["train", "test"], modality: Modality, trial: int) -> Path:
    """Where RegDB's list of a split, modality and trial lies."""
    return data_dir / "idx" / f"{split}_{REGDB_LIST_NAMES[modality]}_{trial}.txt"


def read_regdb_list(
    data_dir: Path, split: Literal["train", "test"], modality: Modality, trial: int
) -> list[ImageRecord]:
    """The images of a RegDB list in its order; errors as `read_list`."""
    path = regdb_list(data_dir, split, modality, trial)
    return [ImageRecord(image, modality, REGDB_CAMERA, label) for image, label in read_list(path, data_dir).items()]


def regdb_test(data_dir: Path | str, trial: int | None) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """The visible and the thermal test images of one trial, in the order of its lists.

    Raises:
        UserError: a trial outside 1..10, or a list or image that is missing or wrong.
    """
    data_dir = Path(data_dir)
    number = RegDB().check_trial(trial)
    assert number is not None
    require_folder(data_dir)
    visible, thermal = (
        read_regdb_list(data_dir, "test", modality, number) for modality in (Modality.VISIBLE, Modality.INFRARED)
    )
    return visible, thermal


def regdb_benchmark(data_dir: Path | str, trial: int | None, directions: tuple[str, ...] = DIRECTIONS) -> Benchmark:
    """RegDB's directions for one trial, whose split only that trial's own model may be tested on.

    Raises: as `regdb_test`.
    """
    index = ImageIndex()
    visible, infrared = (index.of(records) for records in regdb_test(data_dir, trial))
    trials = dict(zip(DIRECTIONS, (Trial(visible, infrared), Trial(infrared, visible)), strict=True))
    protocols = tuple(
        Protocol(name, (trials[name],), excluded_cameras=frozenset(), distinct_identities=False) for name in directions
    )
    return Benchmark(index.images, protocols)


def prepare_regdb(data_dir: Path | str) -> Summary:
    """Write RegDB's training copy into `data_dir`, one for each trial whose lists are in `idx/`.

    Raises:
        UserError: a list or image is missing or wrong, an image cannot be opened, a person is in both
            splits of a trial, or the copy cannot be written.
    """
    data_dir = Path(data_dir)
    require_folder(data_dir)
    trials = [
        trial
        for trial in REGDB_TRIALS
        if any(
            regdb_list(data_dir, split, modality, trial).exists()
            for split in ("train", "test")
            for modality in Modality
        )
    ]
    if not trials:
        raise SettingError(
            "no list such as {path} (is {data_dir} right?)", path=regdb_list(data_dir, "train", Modality.VISIBLE, 1)
        )

    plans: dict[Modality, Plan] = {modality: {} for modality in Modality}
    trials_with: dict[tuple[Count, ...], list[int]] = {}
    for trial in trials:
        identities: dict[str, set[int]] = {"training": set(), "test": set()}
        images: list[Count] = []
        for modality, plan in plans.items():
            train = read_regdb_list(data_dir, "train", modality, trial)
            test = read_regdb_list(data_dir, "test", modality, trial)
            # Labels start again at 0 in each list; the folder is the person.
            shared = {record.path.parent for record in train} & {record.path.parent for record in test}
            if shared:
                names = few(sorted(str(folder.relative_to(data_dir)) for folder in shared))
                raise UserError(f"{data_dir / 'idx'}: trial {trial} has persons both in training and in test: {names}")
            for record in train:
                target = Path(str(trial)) / TRAIN / copy_name(record)
                if target in plan:
                    raise UserError(f"{plan[target]} and {record.path} would both become {target}")
                plan[target] = record.path
            for split, records in (("training", train), ("test", test)):
                identities[split] |= {record.identity for record in records}
                images.append(Count(f"{modality} {split} images", len(records), REGDB_SIZE.images[modality]))
        ids = [Count(f"{split} ids", len(present), REGDB_SIZE.identities) for split, present in identities.items()]
        trials_with.setdefault((*ids, *images), []).append(trial)
    write_copies(data_dir, plans, [Path(str(trial)) / TRAIN for trial in trials])
    counts = [Count("trials", len(trials), len(REGDB_TRIALS))]
    for per_trial, alike in trials_with.items():
        which = "each trial" if alike == trials else f"trial {', '.join(map(str, alike))}"
        counts += [Count(f"{which}: {count.name}", count.found, count.real) for count in per_trial]
    return Summary("RegDB", data_dir, tuple(counts))
