"""A Qdrant cluster: an index is a collection, named by a URI, qdrant+http://host:port/collection.

Points are numbered by their path, so that two who index the same pictures at once write the same points. What the
index remembers of its model is the collection's metadata (Qdrant 1.16 or newer). A key is read from the environment.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException
from qdrant_client.local.qdrant_local import QdrantLocal

from tokenmatcher.errors import UserError
from tokenmatcher.gallery.records import About, Entry, Filter, Hit
from tokenmatcher.gallery.stores import CLUSTER
from tokenmatcher.gallery.stores.base import Store, check_about, check_same_model, ordered

KEY = "QDRANT_API_KEY"  # environment variable; a URI would show it in lists of processes
PAGE = 1000  # points a request
TIMEOUT = 60  # seconds

T = TypeVar("T")


def connect(place: str, create: About | None) -> QdrantStore:
    """As `open_store`."""
    parts = urlsplit(place.removeprefix(CLUSTER))
    collection = parts.path.strip("/")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or port == -1
        or parts.username is not None
        or not re.fullmatch(r"(?!\.+$)[\w.-]+", collection)
    ):
        raise UserError(f"{place}: must be {CLUSTER}http://host:port/collection; a key goes into {KEY}")
    client = QdrantClient(
        host=parts.hostname,
        port=port or (443 if parts.scheme == "https" else 6333),
        https=parts.scheme == "https",
        api_key=os.environ.get(KEY) or None,
        timeout=TIMEOUT,
        check_compatibility=False,
    )
    return QdrantStore(client, collection, place, create)


class QdrantStore(Store):
    """See this file's head.

    Args:
        client: of a cluster; or the client's local mode, for tests.
    """

    def __init__(self, client: QdrantClient, collection: str, place: str, create: About | None) -> None:
        self.client, self.collection, self.place = client, collection, place
        if not self._ask(client.collection_exists, collection):
            if create is None:
                raise UserError(f"{place}: no index there; tokenmatcher index makes one")
            self._create(create)
        metadata = self._ask(client.get_collection, collection).config.metadata or {}
        try:
            self.about = check_about(About(**metadata), place)
        except TypeError:
            raise UserError(f"{place}: a collection that is no index of this program") from None
        if create is not None:
            check_same_model(self.about, create, place)
            if create.checkpoint != self.about.checkpoint:
                self._ask(client.update_collection, collection, metadata=asdict(create))
                self.about = create

    def _create(self, about: About) -> None:
        local = isinstance(getattr(self.client, "_client", None), QdrantLocal)
        self._ask(
            self.client.create_collection,
            self.collection,
            vectors_config=models.VectorParams(size=about.width, distance=models.Distance.COSINE),
            metadata=asdict(about),
        )
        for name, kind in (
            ("path", models.PayloadSchemaType.KEYWORD),
            ("camera", models.PayloadSchemaType.KEYWORD),
            ("modality", models.PayloadSchemaType.KEYWORD),
            ("time", models.PayloadSchemaType.INTEGER),
        ):
            if not local:  # which has none, and says so each time
                self._ask(self.client.create_payload_index, self.collection, name, kind)

    def writing(self) -> AbstractContextManager[None]:
        return nullcontext()  # two may: see this file's head

    def add(self, entries: Sequence[Entry], features: np.ndarray) -> None:
        for start in range(0, len(entries), PAGE):
            points = [
                models.PointStruct(id=_number(entry.path), vector=feature.tolist(), payload=entry.to_dict())
                for entry, feature in zip(entries[start : start + PAGE], features[start : start + PAGE], strict=True)
            ]
            self._ask(self.client.upsert, self.collection, points, wait=True)

    def remove(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), PAGE):
            numbers: list[Any] = [_number(path) for path in paths[start : start + PAGE]]
            self._ask(self.client.delete, self.collection, models.PointIdsList(points=numbers), wait=True)

    def search(self, queries: np.ndarray, count: int, where: Filter) -> list[list[Hit]]:
        if not len(queries):
            return []
        asked = [
            models.QueryRequest(query=query.tolist(), filter=_condition(where), limit=count, with_payload=True)
            for query in queries
        ]
        return [
            ordered([Hit(self._entry(point), float(point.score)) for point in answer.points])
            for answer in self._ask(self.client.query_batch_points, self.collection, asked)
        ]

    def count(self, where: Filter) -> int:
        return int(self._ask(self.client.count, self.collection, count_filter=_condition(where), exact=True).count)

    def entries(self) -> Iterator[Entry]:
        offset: Any = None
        while True:
            points, offset = self._ask(
                self.client.scroll, self.collection, limit=PAGE, offset=offset, with_payload=True
            )
            yield from (self._entry(point) for point in points)
            if offset is None:
                return

    def find(self, path: str) -> tuple[Entry, np.ndarray] | None:
        points = self._ask(self.client.retrieve, self.collection, [_number(path)], with_payload=True, with_vectors=True)
        if not points:
            return None
        return self._entry(points[0]), np.asarray(points[0].vector, dtype=np.float32)

    def _entry(self, point: Any) -> Entry:
        """
        Raises:
            UserError: another program wrote the point.
        """
        try:
            return Entry.from_dict(point.payload or {})
        except (LookupError, TypeError, ValueError):
            raise UserError(f"{self.place}: point {point.id} is no picture of this program") from None

    def _ask(self, request: Callable[..., T], *values: Any, **options: Any) -> T:
        """An answer of the cluster.

        Raises:
            UserError: there is none.
        """
        try:
            return request(*values, **options)
        except (ApiException, QdrantException, OSError, ValueError) as error:  # the last: no JSON, from another server
            said = " ".join(str(error).split())
            raise UserError(f"{self.place}: the cluster does not answer as it should ({said[:200]})") from None

    def optimise(self, *, progress: bool = False) -> None:
        """The cluster does so by itself."""


def _number(path: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"file://{path}"))


def _condition(where: Filter) -> models.Filter | None:
    must: list[Any] = []
    if where.cameras:
        must.append(models.FieldCondition(key="camera", match=models.MatchAny(any=list(where.cameras))))
    if where.modality is not None:
        must.append(models.FieldCondition(key="modality", match=models.MatchValue(value=where.modality.value)))
    if where.since is not None or where.until is not None:
        must.append(models.FieldCondition(key="time", range=models.Range(gte=where.since, lte=where.until)))
    return models.Filter(must=must) if must else None
