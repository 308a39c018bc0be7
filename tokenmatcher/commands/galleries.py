"""From the flags of `index` and `serve` to what they do."""

from __future__ import annotations

import argparse
import sys
import threading

from tokenmatcher.api import TokenMatcher
from tokenmatcher.cli import bars
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, shown
from tokenmatcher.gallery.index import about, update
from tokenmatcher.gallery.index import forget as remove_below
from tokenmatcher.gallery.records import Filter
from tokenmatcher.gallery.scan import scan
from tokenmatcher.gallery.search import Gallery
from tokenmatcher.gallery.stores import open_store


def index(given: argparse.Namespace) -> None:
    """Bring an index up to date.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    modality, progress = Modality(given.modality), bars(given.no_progress)
    model = TokenMatcher.from_checkpoint(given.checkpoint, device=given.device)
    found = scan(given.images, modality, given.table)
    for note in found.notes:
        print(shown(f"note: {note}"))
    for path, reason in found.passed_over:
        print(shown(f"passed over: {path}: {reason}"))
    if not found.entries:
        raise SettingError("{images} {folder}: holds no {modality} picture", folder=given.images, modality=modality)
    print(model.note)
    store = open_store(given.output, about(model, given.checkpoint))
    report = update(store, model, found, given.images, modality, prune=given.prune, progress=progress)
    print(report)
    if report.gone and not given.prune:
        print("those gone are still in the index; the same command with --prune removes them")
    if report.unread:
        print(f"{report.unread} others stay in the index: where they lie could not be read")
    print(shown(f"{store.place}: {store.count(Filter()):,} pictures"))


def forget(given: argparse.Namespace) -> None:
    """Remove from an index what lies below a folder.

    Raises:
        UserError: there is no index, or it cannot be written.
    """
    store = open_store(given.output)
    count = remove_below(store, given.forget, progress=bars(given.no_progress))
    print(shown(f"{count:,} pictures below {given.forget} removed"))
    print(shown(f"{store.place}: {store.count(Filter()):,} pictures"))


def serve(given: argparse.Namespace) -> None:
    """Serve a page until this process is told to end.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    from tokenmatcher.gallery.guard import is_loopback
    from tokenmatcher.gallery.web import served  # Gradio takes some seconds

    gallery = Gallery.open(
        given.index, checkpoint=given.checkpoint, device=given.device, false_accept=given.false_accept
    )
    with served(gallery, given.host, given.port) as address:
        if not is_loopback(given.host):
            print(
                f"WARNING: --host {given.host}: whoever reaches this machine's port {given.port} can search "
                f"{given.index} and see its pictures. There is no password.",
                file=sys.stderr,
            )
        print(f"{address} until Ctrl-C", flush=True)
        threading.Event().wait()
