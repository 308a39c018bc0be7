"""Searches in an index: a picture or an entry in, entries with scores out.

Legend: D width of a feature.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokenmatcher.api import TokenMatcher
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.evaluation.calibration import Calibration
from tokenmatcher.gallery.index import about
from tokenmatcher.gallery.records import Entry, Filter, shown_time
from tokenmatcher.gallery.stores import open_store
from tokenmatcher.gallery.stores.base import Store, check_same_model
from tokenmatcher.images.anything import Picture

FALSE_ACCEPT = 0.01  # rate of a threshold, of those that `tokenmatcher calibrate` measures


@dataclass(frozen=True)
class Match:
    """An entry that a search found.

    score: cosine similarity with the query.
    threshold: from which score on the two are taken for one person; None: not calibrated for this pair of modalities.
    """

    rank: int
    entry: Entry
    score: float
    threshold: float | None

    @property
    def same_person(self) -> bool | None:
        """None: nobody measured from which score on."""
        return None if self.threshold is None else self.score >= self.threshold

    @property
    def verdict(self) -> str:
        """In words."""
        return {True: "same person", False: "not the same", None: "no threshold"}[self.same_person]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rank": self.rank,
            "path": self.entry.path,
            "score": self.score,
            "camera": self.entry.camera or None,
            "time": shown_time(self.entry.time) or None,
            "modality": self.entry.modality.value,
            "same_person": self.same_person,
            "threshold": self.threshold,
        }


class Gallery:
    """An index with the model that made it.

    Args:
        calibration: thresholds of this model, if they were measured.
        false_accept: the rate of the threshold that counts.

    Raises:
        UserError: the index is of another model.
    """

    def __init__(
        self,
        store: Store,
        model: TokenMatcher,
        checkpoint: Path,
        *,
        calibration: Calibration | None = None,
        false_accept: float = FALSE_ACCEPT,
    ) -> None:
        check_same_model(store.about, about(model, checkpoint), store.place)
        self.store, self.model = store, model
        self.calibration, self.false_accept = calibration, false_accept

    @classmethod
    def open(
        cls,
        place: str,
        *,
        checkpoint: Path | None = None,
        device: str = "auto",
        false_accept: float | None = None,
    ) -> Gallery:
        """An index, the checkpoint that it names, and the thresholds beside that.

        Args:
            checkpoint: where that file lies now.
            false_accept: a rate that was calibrated.

        Raises:
            UserError: there is no index, no checkpoint, another model, or no such rate.
        """
        store = open_store(place)
        path = checkpoint or Path(store.about.checkpoint)
        if checkpoint is None and not path.is_file():
            raise SettingError(
                "{place}: made with {path}, which is not there any more; {checkpoint} says where it is",
                place=place, path=path,
            )  # fmt: skip
        model = TokenMatcher.from_checkpoint(path, device=device)
        calibration = Calibration.beside(path, model.network)
        if false_accept is not None and false_accept not in (rates := _rates(calibration)):
            raise SettingError(
                "{false_accept} {rate}: not calibrated; measured are: {known}",
                rate=f"{false_accept:g}", known=", ".join(f"{rate:g}" for rate in rates) or "none",
            )  # fmt: skip
        return cls(store, model, path, calibration=calibration, false_accept=false_accept or FALSE_ACCEPT)

    @property
    def threshold_note(self) -> str:
        """Who counts as the same person."""
        if self.calibration is None:
            return "no threshold for the same person: tokenmatcher calibrate measures it"
        rates = _rates(self.calibration)
        if self.false_accept not in rates:
            known = ", ".join(f"{rate:g}" for rate in rates) or "none"
            return f"no threshold at {self.false_accept:g} false accepts; measured are: {known}"
        return f"same person: threshold at {self.false_accept:g} false accepts"

    @property
    def has_threshold(self) -> bool:
        """For some pair of modalities, at the rate that counts."""
        return self.false_accept in _rates(self.calibration)

    def embed(self, picture: Picture, modality: Modality) -> np.ndarray:
        """(D,) of one picture.

        Raises:
            UserError, ValueError: as `TokenMatcher.embed`.
        """
        feature: np.ndarray = self.model.embed([picture], modality)[0].numpy()
        return feature

    def matches(
        self,
        feature: np.ndarray,
        modality: Modality,
        count: int,
        where: Filter | None = None,
        *,
        but: Collection[str] = (),
    ) -> list[Match]:
        """The most similar entries of a (D,) feature, the best first.

        Args:
            modality: of the picture that the feature is from.
            but: paths of entries that are left out: the query itself.
        """
        hits = self.store.search(feature[None], count + len(but), where or Filter())[0]
        hits = [hit for hit in hits if hit.entry.path not in but][:count]
        thresholds = {
            m: self.calibration.threshold(modality, m, self.false_accept) if self.calibration else None
            for m in Modality
        }
        return [
            Match(rank, hit.entry, hit.score, thresholds[hit.entry.modality]) for rank, hit in enumerate(hits, start=1)
        ]

    def check_cameras(self, cameras: tuple[str, ...]) -> None:
        """A camera that nobody knows is a misspelt one.

        Raises:
            SettingError: there is no picture by one of them.
        """
        for camera in cameras:
            if not self.store.count(Filter(cameras=(camera,))):
                raise SettingError(
                    "{camera} {name}: no picture of that camera in the index; there are {known}",
                    name=camera, known=", ".join(self.cameras()[:20]) or "none with a name",
                )  # fmt: skip

    def cameras(self) -> list[str]:
        """Names, sorted."""
        return sorted({entry.camera for entry in self.store.entries()} - {""})


def _rates(calibration: Calibration | None) -> list[float]:
    pairs = calibration.pairs.values() if calibration else ()
    return sorted({point.false_accept for pair in pairs for point in pair.points})


def described(gallery: Gallery) -> str:
    """An index in a line.

    Raises:
        UserError: it holds no picture.
    """
    counts = {m: gallery.store.count(Filter(modality=m)) for m in Modality}
    if not any(counts.values()):
        raise UserError(f"{gallery.store.place}: holds no picture")
    return f"{gallery.store.place}: " + ", ".join(f"{count:,} {m} pictures" for m, count in counts.items())
