"""The door for data sets: what the rest of the program needs to know of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tokenmatcher.blame import returned
from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.protocols import Benchmark
from tokenmatcher.datasets.summary import Summary
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.recipe import Recipe

Training = dict[Modality, list[ImageRecord]]


@dataclass(frozen=True)
class Size:
    """Of a real training set: people, and images of each modality."""

    identities: int
    images: dict[Modality, int]


@dataclass(frozen=True)
class Option:
    """A choice among a data set's test protocols; a flag of the test. Without `choices` it is any text."""

    default: Any
    choices: tuple[Any, ...]
    help: str


class Dataset(ABC):
    """A data set on disk. One file with a subclass is all that a new one takes.

    Attributes:
        name: on the command line, in logs and checkpoints.
        title: as people write it.
        cameras: the numbers of each modality's cameras.
        trials: splits that have a model each; None: there is one split.
        size: of the real training set, to say what is missing; None: it has none.
        options: of `benchmark`, by name.
        note: what a run on it says of its recipe.
        in_one_file: a file says where the images are; there is no folder to be told.
        presets_of: where a method's presets for it are found; by default under its name.
        camera_names: what the cameras are called, in order of their numbers from 1; empty: by their numbers.
        departures: where reading or testing it departs from the published code.
    """

    name: str
    title: str
    cameras: Mapping[Modality, tuple[int, ...]]
    trials: range | None = None
    size: Size | None = None
    options: Mapping[str, Option] = MappingProxyType({})
    note: str = ""
    in_one_file: bool = False
    presets_of: str = ""
    camera_names: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()

    @property
    def preset_key(self) -> str:
        """Where a method's presets for it are found."""
        return self.presets_of or self.name

    @property
    def default_dir(self) -> Path:
        """Its folder, if nothing else is said."""
        return Path("data") / self.name

    def store_dir(self, data_dir: Path) -> Path:
        """Where decoded images are kept, if nothing else is said."""
        return data_dir / "store"

    def fitted(self, recipe: Recipe) -> Recipe:
        """A preset's recipe with what follows from the set's size."""
        return recipe

    def oddities(self, *, progress: bool = True) -> list[str]:
        """What looks wrong, though it can be worked with."""
        return []

    def test_rules(self, options: Mapping[str, Any] | None = None) -> str:
        """One line: by which of `self.options` a test goes; empty where its scores say it themselves."""
        return ""

    def chosen(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """All options: those given, and the defaults of the others."""
        return {name: option.default for name, option in self.options.items()} | dict(options or {})

    @property
    def many_cameras(self) -> bool:
        """Whether a modality has several cameras, so that there is something to learn within and across them."""
        return any(len(cameras) > 1 for cameras in self.cameras.values())

    def check_trial(self, trial: int | None) -> int | None:
        """`trial` itself.

        Raises:
            SettingError: the data set has no such trial.
        """
        if self.trials is None:
            if trial is not None:
                raise SettingError(f"{{trial}}: {self.title} has no trials to train on")
        elif trial not in self.trials:
            raise SettingError(
                f"{{trial}} must lie in {self.trials[0]}..{self.trials[-1]} for {self.title}, got {{asked}}",
                asked=trial,
            )
        return trial

    @abstractmethod
    def prepare(self, data_dir: Path) -> Summary:
        """Write what training reads into the raw tree's folder, and count what is there.

        Raises:
            UserError: the tree is not as it should be; nothing is half-written.
        """

    @abstractmethod
    def training(self, data_dir: Path, trial: int | None = None) -> Training:
        """The training images of both modalities, in an order that stays.

        Raises:
            UserError: they are not there, or not as they should be.
        """

    @abstractmethod
    def has_test(self, data_dir: Path, trial: int | None = None) -> bool:
        """Whether the test images lie there, too."""

    @abstractmethod
    def benchmark(
        self, data_dir: Path, trial: int | None = None, options: Mapping[str, Any] | None = None
    ) -> Benchmark:
        """The protocols that training is tested by, or those that some of `self.options` choose.

        Raises:
            UserError: the test images are not as they should be.
        """

    def tested(self, data_dir: Path, trial: int | None = None, options: Mapping[str, Any] | None = None) -> Benchmark:
        """`benchmark`, which can be scored.

        Raises:
            UserError: it cannot, or is none.
        """
        benchmark: Benchmark = returned(self.benchmark, self.benchmark(data_dir, trial, options), Benchmark)
        if (protocol := benchmark.unscored()) is not None:
            raise UserError(
                f"{self.title}, {protocol.name}: no query has an image of its person in the gallery that it may see"
            )
        return benchmark
