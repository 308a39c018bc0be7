"""From a raw data set to the market1501-style copy that the field's training code shares.

SYSU-MM01: `{rgb,ir}_modify/{bounding_box_train,query,bounding_box_test}/<id4>_c<camera>_<name>`.
RegDB:     `{rgb,ir}_modify/<trial>/bounding_box_train/<label4>_c1_<name>`.

The copy costs no disk space where the file system has hard links. It is built beside its place and
renamed into it, so there is never half a copy, and files that no longer belong vanish.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.data.pictures import opened
from tokenmatcher.data.records import (
    COPY_FOLDERS,
    REGDB_TRIALS,
    SYSU_CAMERAS,
    copy_name,
    read_ids,
    read_regdb_list,
    regdb_list,
    require_folder,
    sysu_images,
)
from tokenmatcher.errors import UserError

QUERIES_PER_IDENTITY = 4
_ROLES = ("train", "val", "test")

Plan = dict[Path, Path]
"""Path inside the copy -> the image it stands for."""


@dataclass(frozen=True)
class Count:
    """One line of the table: what was found, and what the real data set has (None: not published)."""

    name: str
    found: int
    real: int | None = None

    @property
    def differs(self) -> bool:
        return self.real is not None and self.found != self.real


@dataclass(frozen=True)
class Summary:
    """What a data set's folder holds, beside what the real one would."""

    dataset: str
    data_dir: Path
    counts: tuple[Count, ...]
    hint: str = ""
    absent: tuple[int, ...] = ()  # ids that are listed and have no image

    @property
    def warning(self) -> str:
        """One line where the tree differs from the real data set, else empty."""
        odd = [f"{count.name.strip()} {count.found:,} (real: {count.real:,})" for count in self.counts if count.differs]
        if not odd:
            return ""
        shown = ", ".join(odd[:4]) + (f" and {len(odd) - 4} more" if len(odd) > 4 else "")
        return f"warning: not the full {self.dataset}: {shown}{self.hint}"

    def table(self) -> str:
        """Found and real counts, a line each, and the warning if there is one."""
        width = max(len(count.name) for count in self.counts)
        lines = [f"{self.dataset} in {self.data_dir}", f"{'':{width}}  {'found':>8}  {'real set':>8}"]
        for count in self.counts:
            real = "" if count.real is None else f"{count.real:,}"
            lines.append(f"{count.name:{width}}  {count.found:>8,}  {real:>8}".rstrip())
        if self.absent:
            lines.append(f"warning: listed, but without any image: {_few(list(self.absent))}")
        return "\n".join([*lines, self.warning] if self.warning else lines)

    def __getitem__(self, name: str) -> int:
        """The number found under a line's name, without its indentation."""
        return next(count.found for count in self.counts if count.name.strip() == name)


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
        raise UserError(f"{data_dir / 'exp'}: ids both of training and of test: {_few(shared)}")

    plans: dict[Modality, Plan] = {}
    training: list[ImageRecord] = []
    testing: list[ImageRecord] = []
    for modality, cameras in SYSU_CAMERAS.items():
        train = [record for identity in training_ids for record in sysu_images(data_dir, identity, cameras)]
        if not train:
            folders = ", ".join(f"cam{camera}" for camera in cameras)
            raise UserError(f"no {modality} training image in {data_dir} ({folders}/<id, 4 digits>/*.jpg)")
        plan = {Path("bounding_box_train") / copy_name(record): record.path for record in train}
        for identity in listed["test"]:
            images = sysu_images(data_dir, identity, cameras)
            for place, record in enumerate(images):
                folder = "query" if place < QUERIES_PER_IDENTITY else "bounding_box_test"
                plan[Path(folder) / copy_name(record)] = record.path
            testing += images
        training += train
        plans[modality] = plan
    _write_copies(data_dir, plans, ("bounding_box_train", "query", "bounding_box_test"))
    return _summarise_sysu(data_dir, listed, training, testing)


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
        raise UserError(f"no list such as {regdb_list(data_dir, 'train', Modality.VISIBLE, 1)} (is --data-dir right?)")

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
                names = _few(sorted(str(folder.relative_to(data_dir)) for folder in shared))
                raise UserError(f"{data_dir / 'idx'}: trial {trial} has persons both in training and in test: {names}")
            for record in train:
                target = Path(str(trial)) / "bounding_box_train" / copy_name(record)
                if target in plan:
                    raise UserError(f"{plan[target]} and {record.path} would both become {target}")
                plan[target] = record.path
            for split, records in (("training", train), ("test", test)):
                identities[split] |= {record.identity for record in records}
                images.append(Count(f"{modality} {split} images", len(records), 2_060))
        ids = [Count(f"{split} ids", len(present), 206) for split, present in identities.items()]
        trials_with.setdefault((*ids, *images), []).append(trial)
    _write_copies(data_dir, plans, [Path(str(trial)) / "bounding_box_train" for trial in trials])
    counts = [Count("trials", len(trials), len(REGDB_TRIALS))]
    for per_trial, alike in trials_with.items():
        which = "each trial" if alike == trials else f"trial {', '.join(map(str, alike))}"
        counts += [Count(f"{which}: {count.name}", count.found, count.real) for count in per_trial]
    return Summary("RegDB", data_dir, tuple(counts))


def _summarise_sysu(
    data_dir: Path, listed: dict[str, list[int]], training: list[ImageRecord], testing: list[ImageRecord]
) -> Summary:
    real: dict[str, tuple[int, dict[Modality, int | None]]] = {
        "training": (395, {Modality.VISIBLE: 22_258, Modality.INFRARED: 11_909}),
        "test": (96, {Modality.VISIBLE: None, Modality.INFRARED: 3_803}),
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
    counts.append(Count("  gallery of an all-search trial", len(gallery), 301))

    # 296: train_id.txt alone; 367: what users report who lost part of val_id.txt. Smaller trees need no such question.
    hint = "; were the ids of exp/val_id.txt forgotten?" if counts[0].found in (296, 367) else ""
    present = {record.identity for record in (*training, *testing)}
    absent = sorted({identity for ids in listed.values() for identity in ids} - present)
    return Summary("SYSU-MM01", data_dir, tuple(counts), hint, tuple(absent))


def _write_copies(data_dir: Path, plans: dict[Modality, Plan], folders: Iterable[str | Path]) -> None:
    """Bring `rgb_modify` and `ir_modify` to what their plans say; both are built before either is swapped in."""
    _check_images(source for plan in plans.values() for source in plan.values())
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


def _check_images(paths: Iterable[Path]) -> None:
    """Reads each image's header. Raises UserError naming the first that is none."""
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


def _few(values: list[int] | list[str]) -> str:
    more = f" and {len(values) - 10} more" if len(values) > 10 else ""
    return ", ".join(map(str, values[:10])) + more
