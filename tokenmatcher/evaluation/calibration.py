"""Thresholds of a model's features for "same person", by pair of modalities, and the file beside its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.threshold import Point
from tokenmatcher.files import replacing
from tokenmatcher.models.digest import digest_of

PAIRS = (
    (Modality.VISIBLE, Modality.INFRARED),
    (Modality.VISIBLE, Modality.VISIBLE),
    (Modality.INFRARED, Modality.INFRARED),
)


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
class Calibration:
    """What `tokenmatcher calibrate` measured.

    weights: digest of the network's weights that it holds for.
    source: "identities", or "pseudo labels" where nobody knows them.
    pairs: by `pair_name`.
    """

    weights: str
    source: str
    pairs: Mapping[str, PairCalibration]

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
            pairs = {
                name: PairCalibration(
                    int(pair["genuine"]), int(pair["impostor"]), tuple(Point(**point) for point in pair["points"])
                )
                for name, pair in content["pairs"].items()
            }
            return cls(str(content["weights"]), str(content["source"]), pairs)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: no calibration, or damaged ({type(error).__name__}: {error})") from None

    def write(self, path: Path) -> None:
        """To a file, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        content: dict[str, Any] = asdict(self)
        with replacing(path) as file:
            file.write(json.dumps(content, indent=1).encode() + b"\n")

    def threshold(self, one: Modality, other: Modality, false_accept: float = 0.01) -> float | None:
        """From this similarity on two pictures are taken for one person; None: not measured for that pair and rate."""
        pair = self.pairs.get(pair_name(one, other))
        points = pair.points if pair else ()
        return next((point.threshold for point in points if point.false_accept == false_accept), None)
