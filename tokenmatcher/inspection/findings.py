"""What to know before believing a run's numbers, the gravest first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tokenmatcher.contracts import UNKNOWN, Modality
from tokenmatcher.datasets.base import Dataset, Training
from tokenmatcher.errors import UserError
from tokenmatcher.inspection.folder import CONFIG, LINES, LoggedRun

WITHOUT_METHOD = "The run's method is not there: nothing is said of its recipe, of stages to come, of published scores"
MANY_OUTLIERS = 0.5  # share of a modality's images


@dataclass(frozen=True)
class Finding:
    """kind: "warning", or "note" for what is only unlike the usual. title, and lines of text."""

    kind: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Counted:
    """What there is of one modality for training, beside the real set's numbers (None: it has none)."""

    modality: Modality
    identities: int
    images: int
    by_camera: Mapping[int, int]
    real_identities: int | None
    real_images: int | None

    @property
    def differs(self) -> bool:
        return self.real_images is not None and (self.identities, self.images) != (
            self.real_identities,
            self.real_images,
        )


def counted(dataset: Dataset, training: Training) -> list[Counted]:
    """The training images on disk, modality by modality."""
    found = []
    for modality, records in training.items():
        cameras, counts = np.unique([record.camera for record in records], return_counts=True)
        real = dataset.size
        found.append(
            Counted(
                modality,
                len({record.identity for record in records} - {UNKNOWN}),
                len(records),
                dict(zip(cameras.tolist(), counts.tolist(), strict=True)),
                None if real is None else real.identities,
                None if real is None else real.images[modality],
            )
        )
    return found


def findings(run: LoggedRun, dataset: Dataset | None, counts: Sequence[Counted] | None) -> list[Finding]:
    """Of one run.

    Args:
        dataset: the run's; None: its file is not there.
        counts: of the training images; None: nobody has said where they are, and what the run said stands for them.

    Raises:
        UserError: as `LoggedRun.recipe`.
    """
    missing = [] if run.missing is None else [Finding("warning", WITHOUT_METHOD, (run.missing,))]
    known = None if missing else dataset
    every = [
        *missing,
        *_cut(run),
        *_unfinished(run, known),
        *_counts(run, counts),
        *_recipe(run, known),
        *_outliers(run),
        *_said(run),
        *_notes(run),
    ]
    return sorted(every, key=lambda found: found.kind != "warning")


def _cut(run: LoggedRun) -> list[Finding]:
    lines = (f"{run.path / LINES}: that epoch is left out",)
    return [Finding("warning", "The log's last line is unfinished", lines)] if run.cut else []


def _unfinished(run: LoggedRun, dataset: Dataset | None) -> list[Finding]:
    if dataset is None:
        return []
    done = {epoch.stage for epoch in run.epochs}
    lines = []
    if missing := [name for name in run.kind().stage_names(dataset) if name not in done]:
        lines.append(f"not begun: stage {', '.join(missing)}")
    planned = run.recipe().schedule.epochs
    for name in sorted(done):
        if name.isdigit() and 1 <= int(name) <= len(planned):
            last = max(epoch.epoch for epoch in run.epochs if epoch.stage == name) + 1
            if last < planned[int(name) - 1]:
                lines.append(f"stage {name}: {last} of {planned[int(name) - 1]} epochs")
    return [Finding("warning", "The run is not finished", tuple(lines))] if lines else []


def _counts(run: LoggedRun, counts: Sequence[Counted] | None) -> list[Finding]:
    title = "This is not the whole training set; scores do not compare with published ones"
    if counts is None:
        said = any("is not the whole" in line for line in run.said)
        return [Finding("warning", title, ("so the run said when it started",))] if said else []
    lines = tuple(
        f"{one.modality}: {one.identities:,} people of {one.real_identities:,}, "
        f"{one.images:,} images of {one.real_images:,}"
        for one in counts
        if one.differs
    )
    hint = (
        ("296 or 367 people mean that ids of exp/val_id.txt were forgotten, which costs some ten points of rank-1",)
        if any(one.real_identities == 395 and one.identities in (296, 367) for one in counts)
        else ()
    )
    return [Finding("warning", title, (*lines, *hint))] if lines else []


def _recipe(run: LoggedRun, dataset: Dataset | None) -> list[Finding]:
    if dataset is None:
        return []
    method, recipe = run.kind(), run.recipe()
    paper = method.presets.get(dataset.preset_key, {}).get("paper")
    found = []
    if paper is None:
        found.append(Finding("note", f"No numbers were published for {dataset.title}", ()))
    elif differences := recipe.differences(paper):
        found.append(Finding("warning", "The recipe differs from the paper's", tuple(differences)))
    matcher = None
    try:
        matcher = run.matcher()
    except UserError as error:
        found.append(Finding("warning", "The run's matcher is not there any more", (str(error),)))
    departures = method.departures(recipe, dataset, matcher)
    lines = (*departures, *dataset.departures)
    if lines:
        found.append(Finding("note", "Done in another way than by the published code", lines))
    return found


def _outliers(run: LoggedRun) -> list[Finding]:
    """Of the last epoch over whole modalities: how many images it left out."""
    sizes = {
        m: int(number.replace(",", ""))
        for m in Modality
        for line in run.said
        if (number := _images_said(line, m)) is not None
    }
    last = next((epoch for epoch in reversed(run.epochs) if epoch.camera is None), None)
    lines = []
    for name, labels in (last.values.get("labels") or {}).items() if last else ():
        count = sizes.get(Modality(name)) if name in {m.value for m in Modality} else None
        if count and labels["outliers"] > MANY_OUTLIERS * count:
            lines.append(f"{name}: {labels['outliers']:,} of {count:,} images are outliers in the last epoch")
    return [Finding("warning", "Most images are left out of training", tuple(lines))] if lines else []


def _images_said(line: str, modality: Modality) -> str | None:
    """From the table that a run's header has: visible  100 (395)  3818 (22258)  cam1:..."""
    found = re.match(rf"{modality}\s+[\d,]+(?: \([\d,]+\))?\s+([\d,]+)", line)
    return found[1] if found else None


def _said(run: LoggedRun) -> list[Finding]:
    """What the run itself noted when it started."""
    found = []
    for word, kind in (("warning", "warning"), ("note", "note")):
        lines = tuple(
            line.split(":", 1)[1].strip()
            for line in run.said
            if line.startswith(f"{word}:") and "is not the whole" not in line
        )
        if lines:
            found.append(Finding(kind, f"Said by the run when it started ({CONFIG.split('.')[0]} and data)", lines))
    return found


def _notes(run: LoggedRun) -> list[Finding]:
    """Notes of the epochs; those that differ in their numbers alone count as one."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for epoch in run.epochs:
        for note in epoch.values.get("notes") or ():
            groups.setdefault(re.sub(r"[\d.,]+", "#", str(note)), []).append((str(note), epoch.place))
    lines = []
    for found in groups.values():
        (note, first), (_, last) = found[0], found[-1]
        where = first if len(found) == 1 else f"{len(found)} epochs, {first} to {last}"
        lines.append(f"{note} ({where})")
    return [Finding("note", "Noted in epochs", tuple(lines))] if lines else []
