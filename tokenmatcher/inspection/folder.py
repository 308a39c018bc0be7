"""A run's folder as a value: its configuration, a value for every logged epoch, what the run said.

An unfinished last line of log.jsonl, as a run that was killed leaves it, is left out and said to be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmatcher.contracts import NO_PARTNER
from tokenmatcher.datasets import DATASETS, find_dataset
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.doors import find_matcher, find_method
from tokenmatcher.errors import UserError
from tokenmatcher.inspection.records import demand_epoch, demand_flags
from tokenmatcher.methods.base import Method
from tokenmatcher.mining.matchers.base import Matcher
from tokenmatcher.recipe import Recipe
from tokenmatcher.training.checkpoint import stage_folder

LINES, CONFIG, TEXT = "log.jsonl", "config.json", "log.txt"
BEGINNING = "TokenMatcher "  # of the first line that a run says


@dataclass(frozen=True)
class Epoch:
    """A line of log.jsonl: in which stage, of which camera where it has one, which epoch of it, and all it says."""

    stage: str
    camera: int | None
    epoch: int
    values: Mapping[str, Any]

    @property
    def part(self) -> tuple[str, int | None, tuple[str, ...]]:
        """The stage; or one camera of it, whose number may be another camera's in the other modality."""
        one = () if self.camera is None else tuple(self.values.get("labels", ()))
        return self.stage, self.camera, one

    @property
    def place(self) -> str:
        """In words."""
        camera = "" if self.camera is None else f" {self.camera}"
        return f"stage {self.stage}{camera} epoch {self.epoch}"


@dataclass(frozen=True)
class LoggedRun:
    """A run's folder.

    name: short, to tell it from others.
    flags: what the run was started with. groups: its recipe's numbers.
    epochs: in the log's order. cut: whether the log's last line is unfinished.
    said: what it said before its first epoch, the last time that it was started.
    """

    path: Path
    name: str
    flags: Mapping[str, Any]
    groups: Mapping[str, Mapping[str, Any]]
    epochs: tuple[Epoch, ...]
    cut: bool
    said: tuple[str, ...]

    @property
    def dataset(self) -> str:
        return str(self.flags.get("dataset", ""))

    @property
    def method(self) -> str:
        return str(self.flags.get("method", "tokenmatcher"))

    @property
    def trial(self) -> int | None:
        return self.flags.get("trial")

    def kind(self) -> type[Method]:
        """Its method.

        Raises:
            UserError: it stands in a file that has moved, or that holds none any more.
        """
        try:
            return find_method(self.method)
        except UserError as error:
            raise UserError(f"{self.path / CONFIG}: {error}") from None

    @property
    def missing(self) -> str | None:
        """Why its method cannot be asked, in words; None: it can."""
        try:
            self.kind()
        except UserError as error:
            return str(error)
        return None

    def matcher(self) -> Matcher | None:
        """Of its clusters; None: its method takes none.

        Raises:
            UserError: as `kind`.
        """
        asked = self.flags.get("matcher") or self.kind().default_matcher
        try:
            return None if asked is None else find_matcher(asked)
        except UserError as error:
            raise UserError(f"{self.path / CONFIG}: {error}") from None

    def recipe(self) -> Recipe:
        """Its numbers.

        Raises:
            UserError: its method is not there, or a number is not one of the method's.
        """
        presets = next(iter(self.kind().presets.values()))
        kind = type(next(iter(presets.values())))
        try:
            return kind.from_dict({name: dict(group) for name, group in self.groups.items()})
        except UserError as error:
            raise UserError(f"{self.path / CONFIG}: {error}") from None

    def checkpoint(self, which: str) -> Path | None:
        """`which`.pt ("last", "best") of the latest stage that was saved and whose weights are used; None: there is
        none."""
        stages = dict.fromkeys(epoch.stage for epoch in self.epochs if epoch.camera is None)
        folders = [stage_folder(self.path, stage) for stage in stages]
        saved = next((folder for folder in reversed(folders) if (folder / "last.pt").is_file()), None)
        path = None if saved is None else saved / f"{which}.pt"
        return path if path is not None and path.is_file() else None


def read_runs(folders: Sequence[Path]) -> list[LoggedRun]:
    """The runs in these folders; a folder of trials (trial_1, trial_2, ...) stands for all of them.

    Raises:
        UserError: a folder that is not there, holds no run, or whose files are damaged; names the file and line.
    """
    paths: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        trials = [path for path in folder.glob("trial_*") if (path / LINES).is_file()]
        own = [folder] if (folder / LINES).is_file() else sorted(trials, key=_number)
        if not own:
            raise UserError(f"{folder}: holds no run (no {LINES})")
        paths += own
    places = [path.resolve() for path in paths]  # the same folder may have several names
    if twice := next((path for n, path in enumerate(paths) if places[n] in places[:n]), None):
        raise UserError(f"{twice}: given twice")
    return [read_run(path, name) for path, name in zip(paths, short_names(paths), strict=True)]


def _number(path: Path) -> int:
    digits = path.name.removeprefix("trial_")
    return int(digits) if digits.isdigit() else NO_PARTNER


def short_names(paths: Sequence[Path]) -> list[str]:
    """Of each path as few of its last parts as tell it from the others."""
    parts = [path.absolute().parts for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def read_run(path: Path, name: str) -> LoggedRun:
    """One run's folder; errors as `read_runs`."""
    config = _json(path / CONFIG, _text(path / CONFIG))
    flags = config.pop("run", None) if isinstance(config, dict) else None
    if not isinstance(flags, dict) or not all(isinstance(group, dict) for group in config.values()):
        raise UserError(f"{path / CONFIG}: no configuration of a run")
    if not isinstance(flags.get("dataset"), str):
        raise UserError(f"{path / CONFIG}: names no data set")
    try:
        demand_flags(flags)
    except ValueError as error:
        raise UserError(f"{path / CONFIG}: {error}") from None
    epochs, cut = read_lines(path / LINES)
    text = path / TEXT
    said = said_first(_text(text)) if text.is_file() else ()
    return LoggedRun(path, name, flags, config, epochs, cut, said)


def read_lines(path: Path) -> tuple[tuple[Epoch, ...], bool]:
    """The epochs in a log.jsonl, and whether its last line is unfinished.

    Raises:
        UserError: a line is damaged, or there is none.
    """
    lines = _text(path).split("\n")
    cut = bool(lines.pop().strip())
    epochs = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        values = _json(where, line)
        try:
            demand_epoch(values)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
        epochs.append(Epoch(str(values["stage"]), values.get("camera"), values["epoch"], values))
    if not epochs:
        raise UserError(f"{path}: no epoch is logged yet")
    return tuple(epochs), cut


def said_first(text: str) -> tuple[str, ...]:
    """Of a log.txt the lines from the last start of the run to its first table of epochs."""
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if line.startswith(BEGINNING)]
    own = lines[starts[-1] :] if starts else []
    end = next((number for number, line in enumerate(own) if not line.strip()), len(own))
    return tuple(own[:end])


def dataset_of(run: LoggedRun, asked: str | None, data_dir: Path | None) -> Dataset | None:
    """The run's data set; None: it is a file that is not where the run had it.

    Args:
        asked: name or file that was given for it.

    Raises:
        UserError: what was asked for is no data set or another than the run's, or its file is damaged.
    """
    if asked is not None:
        found = find_dataset(asked)
        if found.name != run.dataset:
            raise UserError(f"{run.path}: was trained on {run.dataset}, not on {found.name}")
        return found
    if run.dataset in {kind.name for kind in DATASETS}:
        return find_dataset(run.dataset)
    table = Path(data_dir or run.flags.get("data_dir", ".")) / f"{run.dataset}.csv"
    if not table.is_file():
        return None
    try:
        return find_dataset(str(table))
    except UserError:
        if data_dir is not None:
            raise
        return None  # the page without pictures needs no pictures


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, so this folder holds no run") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def _json(where: Path | str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: damaged ({error})") from None
    except RecursionError:
        raise UserError(f"{where}: damaged (too many brackets within each other)") from None
