"""The door for stores: what a gallery asks of a vector database.

Legend: N entries, Q queries, D width of a feature.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from tokenmatcher.errors import UserError
from tokenmatcher.gallery.records import FORMAT, About, Entry, Filter, Hit


class Store(ABC):
    """Entries with unit features, in a database.

    Attributes:
        place: what the user calls it.
        about: the model that its features are from.
    """

    place: str
    about: About

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """Held while entries are added and removed.

        Raises:
            UserError: another process writes, and the database cannot have two.
        """

    @abstractmethod
    def add(self, entries: Sequence[Entry], features: np.ndarray) -> None:
        """Put in (N,) entries with (N, D) float32 unit features; all of them are kept when this returns.

        An entry of the same path must have been removed before.
        """

    @abstractmethod
    def remove(self, paths: Sequence[str]) -> None:
        """Take out the entries of these paths; a path that is not in is passed over."""

    @abstractmethod
    def search(self, queries: np.ndarray, count: int, where: Filter) -> list[list[Hit]]:
        """Of each of (Q, D) float32 unit features the most similar entries, the best first, of equals the lower path.

        Fewer than `count` where the filter admits fewer. Among very many entries the search is approximate: one may be
        missed, scores are exact.
        """

    @abstractmethod
    def count(self, where: Filter) -> int:
        """How many entries the filter admits."""

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """All, in no order."""

    @abstractmethod
    def find(self, path: str) -> tuple[Entry, np.ndarray] | None:
        """An entry and its (D,) feature; None: no such path."""

    @abstractmethod
    def optimise(self, *, progress: bool = False) -> None:
        """After many changes: order the database for searches."""


@contextmanager
def told(place: str, what: str, *more: type[Exception]) -> Iterator[None]:
    """A database's own errors as a line that names the index: a full disk, damaged files.

    Args:
        more: kinds of errors that are its own here.

    Raises:
        UserError: it fails.
    """
    kinds: tuple[type[Exception], ...] = (RuntimeError, ValueError, OSError, *more)
    try:
        yield
    except kinds as error:
        raise UserError(f"{place}: {what} ({_said(error)})") from None


def _said(error: Exception) -> str:
    """The cause, without the lines of Rust that LanceDB puts around it."""
    text = " ".join(str(error).split())
    if found := re.search(r"([^:()]+) \(os error \d+\)", text):
        return found[1].strip()
    return re.sub(r",? ?[^ ,]*\.rs:\d+(:\d+)?", "", text)[:200]


def ordered(hits: list[Hit]) -> list[Hit]:
    """The best first, of equals the lower path, whatever the database did with them."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.entry.path))


def check_about(about: About, place: str) -> About:
    """An index that this program reads.

    Raises:
        UserError: another version wrote it.
    """
    if about.format != FORMAT:
        raise UserError(f"{place}: index of version {about.format}, this program reads version {FORMAT}")
    return about


def check_same_model(about: About, asked: About, place: str) -> None:
    """Features of two models cannot be compared.

    Raises:
        UserError: `asked` is another model than the index was made with.
    """
    if (about.weights, about.width) != (asked.weights, asked.width):
        raise UserError(
            f"{place}: made with other weights ({about.weights[:12]}, {about.width} numbers a feature) than "
            f"{asked.checkpoint} has ({asked.weights[:12]}, {asked.width}); their features cannot be compared"
        )
