"""Bring an index up to date with a folder of pictures.

Legend: B batch, H and W image height and width in pixels, D width of a feature.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tokenmatcher.api import TokenMatcher
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.evaluation.evaluate import TEST_INTERPOLATION
from tokenmatcher.gallery.records import About, Entry, spellings
from tokenmatcher.gallery.scan import Found
from tokenmatcher.gallery.stores.base import Store, told
from tokenmatcher.images.store import decode
from tokenmatcher.models.digest import digest_of

BATCH = 32  # pictures in a pass, and as many are decoded meanwhile
SAVED_EVERY = 20.0  # seconds: what a killed process loses at most, and a batch


@dataclass
class Report:
    """What became of the pictures of a folder."""

    added: int = 0
    changed: int = 0
    known: int = 0
    gone: int = 0
    unread: int = 0  # in the index, and where they lie could not be looked at
    pruned: bool = False
    damaged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        gone = f"{self.gone} gone and removed" if self.pruned else f"{self.gone} gone"
        return (
            f"{self.added} new, {self.changed} changed, {self.known} known, {gone}, {len(self.damaged)} cannot be read"
        )


def about(model: TokenMatcher, checkpoint: Path) -> About:
    """What an index remembers of a model."""
    return About(digest_of(model.network.state_dict()), model.width, str(checkpoint.resolve()))


def update(
    store: Store,
    model: TokenMatcher,
    found: Found,
    folder: Path,
    modality: Modality,
    *,
    prune: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Report:
    """Add what is new or changed in a scan of `folder`; with `prune` remove what is gone from it.

    What could not be looked at is not gone. What was added stays, should the process end before its time: the next call
    goes on from there.

    Raises:
        UserError: another process writes to the index, it cannot be written, or pictures are in it as the other
            modality.
    """
    with store.writing():
        known = {entry.path: entry for entry in store.entries()}
        if wrong := [e for e in found.entries if e.path in known and known[e.path].modality is not modality]:
            raise SettingError(
                "{modality} {asked}: {count} of these pictures are in the index as {other}, as {path}",
                asked=modality, count=len(wrong), other=modality.other, path=wrong[0].path,
            )  # fmt: skip
        waiting = [entry for entry in found.entries if known.get(entry.path) != entry]
        changed = [entry.path for entry in waiting if entry.path in known]
        report = Report(known=len(found.entries) - len(waiting), pruned=prune)
        here = {entry.path for entry in found.entries}
        absent = [p for p in _below([str(folder.resolve())], known) if known[p].modality is modality and p not in here]
        unread = set(_below(set(found.unread), absent))
        gone = [path for path in absent if path not in unread]
        report.gone, report.unread = len(gone), len(unread)
        if prune:
            store.remove(gone)
        _add(store, model, waiting, modality, report, set(changed), progress=progress, say=say)
        _optimise(store, progress=progress)  # also where nothing changed: the last call may have been killed before it
    return report


def forget(store: Store, folder: Path, *, progress: bool = True) -> int:
    """Remove all entries below a folder, which need not be there any more; says how many.

    Raises:
        UserError: another process writes to the index, or it cannot be written.
    """
    with store.writing():
        gone = _below(spellings(folder), (entry.path for entry in store.entries()))
        store.remove(gone)
        _optimise(store, progress=progress)
    return len(gone)


def _below(places: Collection[str], paths: Iterable[str]) -> list[str]:
    """Those of `paths` that are one of `places`, or lie in one."""
    folders = tuple(f"{place.rstrip('/')}/" for place in places)
    return [path for path in paths if path in places or path.startswith(folders)]


def _optimise(store: Store, *, progress: bool) -> None:
    with told(store.place, "cannot be written"):
        store.optimise(progress=progress)


def _add(
    store: Store,
    model: TokenMatcher,
    waiting: Sequence[Entry],
    modality: Modality,
    report: Report,
    changed: set[str],
    *,
    progress: bool,
    say: Callable[[str], None],
) -> None:
    entries: list[Entry] = []
    features: list[torch.Tensor] = []
    stale = dict.fromkeys(sorted(changed))  # what is in the index of them is of before

    def save() -> None:
        if entries:
            again = [entry.path for entry in entries if entry.path in stale]
            store.remove(again)
            store.add(entries, torch.cat(features).numpy())
            for path in again:
                del stale[path]
            report.changed += len(again)
            report.added += len(entries) - len(again)
            entries.clear()
            features.clear()

    saved = time.monotonic()
    config = model.network.config
    with tqdm(total=len(waiting), desc=f"index {modality}", unit="image", disable=not progress) as bar:
        for batch in _decoded(waiting, config.height, config.width):
            read = [(entry, pixels) for entry, pixels in batch if isinstance(pixels, np.ndarray)]
            for _, error in batch:
                if isinstance(error, UserError):
                    report.damaged.append(str(error))
                    bar.clear()
                    say(f"passed over: {error}")
            if read:
                images = torch.from_numpy(np.stack([pixels for _, pixels in read]))
                features.append(model.embed(images, modality, batch_size=BATCH))
                entries += [entry for entry, _ in read]
            bar.update(len(batch))
            if time.monotonic() - saved > SAVED_EVERY:
                save()
                saved = time.monotonic()
        save()
    store.remove(list(stale))  # changed, and cannot be read any more


def _decoded(entries: Sequence[Entry], height: int, width: int) -> Iterator[list[tuple[Entry, np.ndarray | UserError]]]:
    """Batches of pictures, (3, H, W) uint8 each, or why one cannot be read; the next batch is decoded meanwhile."""

    def read(entry: Entry) -> np.ndarray | UserError:
        try:
            return decode(Path(entry.path), height, width, TEST_INTERPOLATION)
        except UserError as error:
            return error

    waiting = iter(entries)
    with ThreadPoolExecutor() as pool:
        following: list[tuple[Entry, Future[np.ndarray | UserError]]] = []
        try:
            while True:
                current, following = following, [(e, pool.submit(read, e)) for e in islice(waiting, BATCH)]
                if current:
                    yield [(entry, future.result()) for entry, future in current]
                if not following:
                    return
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
