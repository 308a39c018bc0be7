"""Vector databases behind one interface: a folder (LanceDB), or a cluster by its URI (Qdrant)."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tokenmatcher.errors import UserError
from tokenmatcher.gallery.records import About

if TYPE_CHECKING:
    from tokenmatcher.gallery.stores.base import Store

CLUSTER = "qdrant+"  # how a cluster's URI begins: qdrant+http://host:port/collection
EXTRA = 'pip install ".[search]"'


def open_store(place: str, create: About | None = None) -> Store:
    """The index in a folder, or in a cluster's collection.

    Args:
        create: make it for this model where there is none; where there is one it learns where the checkpoint lies.

    Raises:
        UserError: there is none, it is no index, it is of another model than `create`, or its package is missing.
    """
    if re.match(r"[\w+.-]+://", place) and not place.startswith(CLUSTER):
        raise UserError(f"{place}: an index is a folder, or {CLUSTER}http://host:port/collection")
    package, module = ("qdrant_client", "qdrant") if place.startswith(CLUSTER) else ("lancedb", "lance")
    needed(package, place)
    store: Store = import_module(f"tokenmatcher.gallery.stores.{module}").connect(place, create)
    return store


def needed(package: str, what: str) -> None:
    """Raises UserError if a package of the extra `search` is missing."""
    if find_spec(package) is None:
        raise UserError(f"{what}: needs the package {package.replace('_', '-')}: {EXTRA}")
