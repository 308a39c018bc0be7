"""What a gallery and its stores hand to each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tokenmatcher.contracts import Modality

FORMAT = 1  # of what a store holds
EPOCH = datetime(1970, 1, 1)


def seconds_of(moment: datetime) -> int:
    """A clock's reading as a number that can be compared; cameras rarely say in which zone they are."""
    return int((moment.replace(tzinfo=None) - EPOCH).total_seconds())


def shown_time(seconds: int | None) -> str:
    """The other way round: 2026-05-01 12:30:00."""
    return "" if seconds is None else str(EPOCH + timedelta(seconds=seconds))


def spellings(path: Path) -> set[str]:
    """All paths by which an entry may know what lies at `path`: resolved down to the folder that was indexed, as it was
    named below. The file need not be there any more."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)
    places = [whole, *whole.parents]
    return {str(Path(os.path.realpath(place)) / whole.relative_to(place)) for place in places}


@dataclass(frozen=True)
class Entry:
    """A picture in the index.

    path: absolute; no two entries share one.
    camera: its name, "" where nobody knows.
    time: when it was taken, seconds since 1970 by the camera's own clock; None: unknown.
    size, changed: bytes and modification time (ns) of the file that was read.
    """

    path: str
    modality: Modality
    camera: str
    time: int | None
    size: int
    changed: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "modality": self.modality.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Entry:
        return cls(**{**values, "modality": Modality(values["modality"])})


@dataclass(frozen=True)
class Filter:
    """Which entries a search sees; what is not given leaves nothing out.

    since, until: seconds as in `Entry.time`, both included; an entry without a time is then not seen.
    """

    cameras: tuple[str, ...] = ()
    modality: Modality | None = None
    since: int | None = None
    until: int | None = None

    def admits(self, entry: Entry) -> bool:
        """Whether a search sees `entry`."""
        return (
            (not self.cameras or entry.camera in self.cameras)
            and self.modality in (None, entry.modality)
            and (self.since is None or (entry.time is not None and entry.time >= self.since))
            and (self.until is None or (entry.time is not None and entry.time <= self.until))
        )


@dataclass(frozen=True)
class About:
    """What an index remembers of the model that made it.

    weights: digest of the network's weights.
    width: numbers of a feature.
    checkpoint: the model's file, absolute.
    """

    weights: str
    width: int
    checkpoint: str
    format: int = FORMAT


class Hit(NamedTuple):
    """An entry that a search found."""

    entry: Entry
    score: float
    """Cosine similarity with the query, -1..1."""
