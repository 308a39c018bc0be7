"""From the flags of `index`, `search` and `serve` to what they do."""

from __future__ import annotations

import argparse
import json
import sys
import threading

from tokenmatcher.api import TokenMatcher
from tokenmatcher.cli import bars
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.files import replacing
from tokenmatcher.gallery.index import about, update
from tokenmatcher.gallery.page import page
from tokenmatcher.gallery.records import Filter, shown_time
from tokenmatcher.gallery.scan import moment, scan
from tokenmatcher.gallery.search import Gallery, Match, described
from tokenmatcher.gallery.stores import open_store
from tokenmatcher.images.anything import pictures_in
from tokenmatcher.report.tables import table

HERE = ("127.0.0.1", "localhost", "::1")  # addresses that only this machine reaches


def index(given: argparse.Namespace) -> None:
    """Bring an index up to date.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    modality, progress = Modality(given.modality), bars(given.no_progress)
    model = TokenMatcher.from_checkpoint(given.checkpoint, device=given.device)
    found = scan(given.images, modality, given.table)
    for note in found.notes:
        print(f"note: {note}")
    for path, reason in found.passed_over:
        print(f"passed over: {UserError(f'{path}: {reason}')}")
    if not found.entries:
        raise SettingError("{images} {folder}: holds no {modality} picture", folder=given.images, modality=modality)
    print(model.note)
    store = open_store(given.output, about(model, given.checkpoint))
    report = update(store, model, found, given.images, modality, prune=given.prune, progress=progress)
    print(report)
    if report.gone and not given.prune:
        print("those gone are still in the index; the same command with --prune removes them")
    print(f"{store.place}: {store.count(Filter()):,} pictures")


def search(given: argparse.Namespace) -> None:
    """Search, and print or write what was found.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    modality, where = Modality(given.modality), _filter(given)
    queries = [picture for path in given.queries for picture in (pictures_in(path) if path.is_dir() else [path])]
    if not queries:
        raise UserError(f"{given.queries[0]}: holds no picture")
    gallery = Gallery.open(
        given.index, checkpoint=given.checkpoint, device=given.device, false_accept=given.false_accept
    )
    head = described(gallery)
    gallery.check_cameras(where.cameras)
    found = [
        (query, gallery.matches(gallery.embed(query, modality), modality, given.top, where, but=str(query.resolve())))
        for query in queries
    ]
    if given.json:
        answers = [
            {"query": str(query), "modality": modality.value, "matches": [match.to_dict() for match in matches]}
            for query, matches in found
        ]
        print(json.dumps({"index": gallery.store.place, "false_accept": gallery.false_accept, "queries": answers}))
        return
    if given.html:
        with replacing(given.html) as file:
            file.write(page(found, modality, head, gallery).encode())
        print(f"written: {given.html}")
        return
    print(head)
    for query, matches in found:
        print(f"\n{UserError(str(query))}, {modality}")
        print(shown(matches))
    if gallery.calibration is None:
        print("\nno threshold for the same person: tokenmatcher calibrate measures it")


def serve(given: argparse.Namespace) -> None:
    """Serve a page until this process is told to end.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    from tokenmatcher.gallery.web import served  # Gradio takes some seconds

    gallery = Gallery.open(
        given.index, checkpoint=given.checkpoint, device=given.device, false_accept=given.false_accept
    )
    with served(gallery, given.host, given.port) as address:
        if given.host not in HERE:
            print(
                f"WARNING: --host {given.host}: whoever reaches this machine's port {given.port} can search "
                f"{given.index} and see its pictures. There is no password.",
                file=sys.stderr,
            )
        print(f"{address} until Ctrl-C", flush=True)
        threading.Event().wait()


def shown(matches: list[Match]) -> str:
    """A table."""
    rows = [
        [
            str(match.rank), f"{match.score:.3f}", match.verdict, match.entry.modality.value,
            match.entry.camera, shown_time(match.entry.time), str(UserError(match.entry.path)),
        ]
        for match in matches
    ]  # fmt: skip
    return table(["rank", "score", "", "modality", "camera", "time", "picture"], rows) if rows else "nothing found"


def _filter(given: argparse.Namespace) -> Filter:
    times = {}
    for name in ("since", "until"):
        text = getattr(given, name)
        try:
            times[name] = moment(text) if text else None
        except ValueError:
            raise SettingError(f"{{{name}}} {{text}}: must be a time like 2026-05-01 12:30", text=repr(text)) from None
    cameras = tuple(part.strip() for part in given.camera.split(",") if part.strip())
    return Filter(cameras, Modality(given.among) if given.among else None, **times)
