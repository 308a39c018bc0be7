"""From the flags of `tokenmatcher search` to what it does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from tokenmatcher.cli import bars
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError, shown
from tokenmatcher.files import replacing
from tokenmatcher.gallery.details import last_moment, moment
from tokenmatcher.gallery.page import page
from tokenmatcher.gallery.records import Filter, shown_time, spellings
from tokenmatcher.gallery.scan import walk
from tokenmatcher.gallery.search import Gallery, Match, described
from tokenmatcher.report.tables import table


def search(given: argparse.Namespace) -> None:
    """Search, and print or write what was found.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    modality, where = Modality(given.modality), _filter(given)
    queries = _queries(given.queries)
    gallery = Gallery.open(
        given.index, checkpoint=given.checkpoint, device=given.device, false_accept=given.false_accept
    )
    head = described(gallery)
    gallery.check_cameras(where.cameras)
    found = _found(gallery, queries, modality, where, given)
    if given.json:
        answers = [
            {"query": str(query), "modality": modality.value, "matches": [match.to_dict() for match in matches]}
            for query, matches in found
        ]
        rate = gallery.false_accept if gallery.has_threshold else None
        print(json.dumps({"index": gallery.store.place, "false_accept": rate, "queries": answers}))
        return
    if given.html:
        try:
            with replacing(given.html) as file:
                file.write(page(found, modality, head, gallery).encode())
        except OSError as error:
            raise SettingError("{html} {path}: cannot be written ({error})", path=given.html, error=error) from None
        print(shown(f"written: {given.html}"))
        return
    print(shown(head))
    for query, matches in found:
        print(f"\n{shown(str(query))}, {modality}")
        print(_table(matches))
    if not gallery.has_threshold:
        print(f"\n{gallery.threshold_note}")


def _queries(given: Sequence[Path]) -> list[Path]:
    """Files as they are named, of folders the pictures in them, through links, too; what cannot be read is told."""
    found: list[Path] = []
    for path in given:
        found += sorted(walk(path, _passed_over)) if path.is_dir() else [path]
    if not found:
        raise UserError(f"{given[0]}: holds no picture")
    return found


def _found(
    gallery: Gallery, queries: Sequence[Path], modality: Modality, where: Filter, given: argparse.Namespace
) -> list[tuple[Path, list[Match]]]:
    """Of each query what was found; of several, one that cannot be read is told and passed over."""
    top = min(given.top, gallery.store.count(Filter()))
    found = []
    with tqdm(queries, desc="search", unit="image", disable=len(queries) == 1 or not bars(given.no_progress)) as bar:
        for query in bar:
            try:
                feature = gallery.embed(query, modality)
            except UserError as error:
                if len(queries) == 1:
                    raise
                bar.clear()
                _passed_over(error)
                continue
            found.append((query, gallery.matches(feature, modality, top, where, but=spellings(query))))
    if not found:
        raise UserError(f"{queries[0]} and the other queries: none of the {len(queries)} can be read")
    return found


def _passed_over(error: Exception) -> None:
    print(shown(f"passed over: {error}"), file=sys.stderr)


def _table(matches: list[Match]) -> str:
    rows = [
        [
            str(match.rank), f"{match.score:.3f}", match.verdict, match.entry.modality.value,
            shown(match.entry.camera), shown_time(match.entry.time), shown(match.entry.path),
        ]
        for match in matches
    ]  # fmt: skip
    return table(["rank", "score", "", "modality", "camera", "time", "picture"], rows) if rows else "nothing found"


def _filter(given: argparse.Namespace) -> Filter:
    since, until = _time(given, "since", moment), _time(given, "until", last_moment)
    if since is not None and until is not None and since > until:
        raise SettingError("{since} {first} lies after {until} {last}", first=given.since, last=given.until)
    cameras: tuple[str, ...] = ()
    if given.camera is not None:
        cameras = tuple(part.strip() for part in given.camera.split(",") if part.strip())
        if not cameras:
            raise SettingError("{camera} {text}: names no camera", text=repr(given.camera))
    return Filter(cameras, Modality(given.among) if given.among else None, since, until)


def _time(given: argparse.Namespace, name: str, read: Callable[[str], int]) -> int | None:
    text = getattr(given, name)
    try:
        return None if text is None else read(text)
    except ValueError:
        raise SettingError(f"{{{name}}} {{text}}: must be a time like 2026-05-01 12:30", text=repr(text)) from None
