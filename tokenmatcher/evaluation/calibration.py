"""Thresholds of a model's features for "same person", by pair of modalities, and the file beside its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from tokenmatcher.contracts import Modality, require
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.threshold import Point
from tokenmatcher.files import made, replacing
from tokenmatcher.models.digest import digest_of

PAIRS = (
    (Modality.VISIBLE, Modality.INFRARED),
    (Modality.VISIBLE, Modality.VISIBLE),
    (Modality.INFRARED, Modality.INFRARED),
)

Kind = TypeVar("Kind")


def pair_name(one: Modality, other: Modality) -> str:
    """Of two modalities, whichever comes first."""
    return "-".join(str(m) for m in Modality if m in (one, other)) if one is not other else f"{one}-{one}"


def file_beside(checkpoint: Path) -> Path:
    """best.pt -> best.threshold.json"""
    return checkpoint.with_suffix(".threshold.json")


@dataclass(frozen=True)
class PairCalibration:
    """Of one pair of modalities: how many pairs of pictures were measured, and a point for each rate, falling."""

    genuine: int
    impostor: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Origin:
    """Of which pictures, and how drawn.

    trial: of a data set that has some.
    images: how many, by modality.
    draws: of people, for the intervals. seed: of all that is drawn.
    """

    dataset: str
    trial: int | None
    images: Mapping[str, int]
    draws: int
    seed: int

    def __str__(self) -> str:
        trial = "" if self.trial is None else f", trial {self.trial}"
        images = " and ".join(f"{count:,} {modality}" for modality, count in self.images.items())
        return f"{self.dataset}{trial}: {images} images, {self.draws} draws of people, seed {self.seed}"


@dataclass(frozen=True)
class Calibration:
    """What `tokenmatcher calibrate` measured.

    weights: digest of the network's weights that it holds for.
    source: "identities", or "pseudo labels" where nobody knows them.
    pairs: by `pair_name`.
    origin: None: a file from before it was written down.
    """

    weights: str
    source: str
    pairs: Mapping[str, PairCalibration]
    origin: Origin | None = None

    @classmethod
    def beside(cls, checkpoint: Path, network: nn.Module) -> Calibration | None:
        """The one that lies beside a checkpoint; None: there is none.

        Raises:
            UserError: it is damaged, or of other weights than `network` has.
        """
        path = file_beside(checkpoint)
        if not path.exists():
            return None
        found = cls.read(path)
        if found.weights != digest_of(network.state_dict()):
            raise UserError(f"{path}: measured with other weights; run tokenmatcher calibrate again, or remove it")
        return found

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """From a file.

        Raises:
            UserError: it cannot be read, or is no calibration.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            pairs = {_known(name): _pair(pair) for name, pair in content["pairs"].items()}
            origin = None if content.get("origin") is None else _origin(content["origin"])
            return cls(_of(str, content["weights"]), _of(str, content["source"]), pairs, origin)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(f"{path}: no calibration, or damaged ({type(error).__name__}: {error})") from None

    def write(self, path: Path) -> None:
        """To a file, whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        content: dict[str, Any] = asdict(self)
        try:
            with made(path.parent), replacing(path) as file:
                file.write(json.dumps(content, indent=1).encode() + b"\n")
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error}); a file that was there is untouched") from None

    def threshold(self, one: Modality, other: Modality, false_accept: float = 0.01) -> float | None:
        """From this similarity on two pictures are taken for one person; None: not measured for that pair and rate."""
        pair = self.pairs.get(pair_name(one, other))
        points = pair.points if pair else ()
        return next((point.threshold for point in points if point.false_accept == false_accept), None)


def _of(kind: type[Kind], value: Any) -> Kind:
    """`value`, which a file holds.

    Raises:
        ValueError: it is of another kind; a truth is no number.
    """
    require(isinstance(value, kind) and not isinstance(value, bool), f"{value!r:.40} is no {kind.__name__}")
    found: Kind = value
    return found


def _known(name: str) -> str:
    known = [pair_name(one, other) for one, other in PAIRS]
    require(name in known, f"{name!r:.40} is no pair of modalities")
    return name


def _pair(content: Mapping[str, Any]) -> PairCalibration:
    points = tuple(Point(**point) for point in content["points"])
    numbers = [number for point in points for number in astuple(point)]
    require(all(type(number) in (int, float) and isfinite(number) for number in numbers), "a point is not of numbers")
    return PairCalibration(_of(int, content["genuine"]), _of(int, content["impostor"]), points)


def _origin(content: Mapping[str, Any]) -> Origin:
    trial = content["trial"]
    return Origin(
        _of(str, content["dataset"]),
        None if trial is None else _of(int, trial),
        {str(Modality(name)): _of(int, count) for name, count in content["images"].items()},
        _of(int, content["draws"]),
        _of(int, content["seed"]),
    )
