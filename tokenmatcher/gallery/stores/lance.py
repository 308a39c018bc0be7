"""LanceDB, embedded: an index is a folder.

Two tables, `pictures` and, in one row, `about`. Every change is a new version of a table, so a killed process leaves
what it had added, whole.

Few entries are compared one by one. From `LISTED` on an inverted file of short codes is read (IVF_RQ: RaBitQ, Gao and
Long, SIGMOD 2024): entries in lists by their nearest centre, of a query the lists of the nearest `PROBES` centres, and
of the best by code the whole features. LanceDB chooses the number of lists, some 4,096 entries each; its `optimize`
joins smaller ones.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, fields
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("LANCEDB_LOG", "error")  # read when LanceDB is imported; it tells of new tables as a warning

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfFlat, IvfRq

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.files import only_one
from tokenmatcher.gallery.records import About, Entry, Filter, Hit
from tokenmatcher.gallery.stores.base import Store, check_about, check_same_model, ordered, told

PICTURES, ABOUT, VECTOR, DISTANCE = "pictures", "about", "vector", "_distance"
LISTED = 20_000  # entries from which on lists are faster than comparing with all
PROBES = 32  # benchmarks/gallery.py measures what others find
REFINED = 20  # times the asked for hits, which short codes find and whole features put in order
ROUNDS = 10  # iterations that the lists' centres are learnt in
GROWN = 2.0  # times the entries that lists were made for, after which they are made anew
LISTS_FOR = "lists_for"  # column of `about`: how many entries the lists were made for
TRIES = 5  # to read
CHUNK = 500  # paths in a condition
CANNOT = "cannot be written"

T = TypeVar("T")

COLUMNS = {
    "path": pa.string(),
    "modality": pa.string(),
    "camera": pa.string(),
    "time": pa.int64(),
    "size": pa.int64(),
    "changed": pa.int64(),
}


def connect(place: str, create: About | None) -> LanceStore:
    """As `open_store`."""
    folder = Path(place)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{place}: a file, not an index")
    begun = {"run.lock", *(f"{name}.lance" for name in (PICTURES, ABOUT))}  # what a killed process may leave
    if not _is_index(folder) and create is None:
        raise UserError(f"{place}: no index there; tokenmatcher index makes one")
    if not _is_index(folder) and folder.is_dir() and any(entry.name not in begun for entry in folder.iterdir()):
        raise UserError(f"{place}: a folder with other files, not an index")
    if create is not None:
        _make(folder)
    with told(place, "damaged, or no index", LookupError, TypeError):
        return LanceStore(folder, create)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise SettingError("{output} {folder}: cannot be made ({error})", folder=folder, error=error.strerror) from None
    if not writable:
        raise UserError(f"{folder}: cannot be written to")


def _is_index(folder: Path) -> bool:
    return any((folder / f"{ABOUT}.lance" / "_versions").glob("*.manifest"))


class LanceStore(Store):
    """See this file's head."""

    def __init__(self, folder: Path, create: About | None) -> None:
        self.place, self.folder = str(folder), folder
        self.database = lancedb.connect(folder)
        if create is not None and not _is_index(folder):
            with self.writing(), told(self.place, "cannot be made"):
                if not _is_index(folder):
                    self._create(create)
        self.facts = self.database.open_table(ABOUT)
        row = self.facts.search().limit(1).to_list()[0]
        self.about = check_about(About(**{field.name: row[field.name] for field in fields(About)}), self.place)
        if create is not None:
            check_same_model(self.about, create, self.place)
            if create.checkpoint != self.about.checkpoint:
                with self.writing(), told(self.place, CANNOT):
                    self.facts.update(values={"checkpoint": create.checkpoint})
                self.about = create
        self.table = self.database.open_table(PICTURES)

    def _create(self, about: About) -> None:
        with suppress(RuntimeError, ValueError, OSError):  # there is no such table, or half of one
            if self.database.open_table(PICTURES).count_rows():
                raise UserError(f"{self.place}: damaged: pictures, but not which model they are of")
        vector = pa.list_(pa.float32(), about.width)
        schema = pa.schema([*COLUMNS.items(), (VECTOR, vector)])
        self.database.create_table(PICTURES, schema=schema, mode="overwrite")
        # Last: without it there is no index.
        self.database.create_table(ABOUT, data=[{**asdict(about), LISTS_FOR: 0}], mode="overwrite")

    @contextmanager
    def writing(self) -> Iterator[None]:
        with ExitStack() as held:
            with told(self.place, CANNOT):
                held.enter_context(only_one(self.folder, "output"))
            yield

    def add(self, entries: Sequence[Entry], features: np.ndarray) -> None:
        if not entries:
            return
        columns = [
            pa.array([_plain(getattr(entry, name)) for entry in entries], kind) for name, kind in COLUMNS.items()
        ]
        flat = pa.array(np.ascontiguousarray(features, dtype=np.float32).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, self.about.width)
        with told(self.place, CANNOT):
            self.table.add(pa.Table.from_arrays([*columns, vectors], schema=self.table.schema))

    def remove(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), CHUNK):
            with told(self.place, CANNOT):
                self.table.delete(_one_of("path", paths[start : start + CHUNK]))

    def search(self, queries: np.ndarray, count: int, where: Filter) -> list[list[Hit]]:
        return [self._read(partial(self._hits, query, count, _condition(where))) for query in queries]

    def _hits(self, query: np.ndarray, count: int, condition: str) -> list[Hit]:
        asked: Any = self.table.search(query.astype(np.float32), vector_column_name=VECTOR)
        asked = asked.distance_type("dot").nprobes(PROBES).refine_factor(REFINED)
        asked = asked.limit(count).select([*COLUMNS, DISTANCE])
        if condition:
            asked = asked.where(condition, prefilter=True)
        return ordered([_hit(row) for row in asked.to_list()])

    def count(self, where: Filter) -> int:
        return self._read(lambda: int(self.table.count_rows(_condition(where) or None)))

    def entries(self) -> Iterator[Entry]:
        found = self._read(lambda: self.table.search().select(list(COLUMNS)).to_arrow())
        for batch in found.to_batches():
            yield from map(Entry.from_dict, batch.to_pylist())

    def find(self, path: str) -> tuple[Entry, np.ndarray] | None:
        rows = self._read(lambda: self.table.search().where(_one_of("path", [path])).limit(1).to_list())
        if not rows:
            return None
        feature = np.asarray(rows[0].pop(VECTOR), dtype=np.float32)
        return Entry.from_dict({name: rows[0][name] for name in COLUMNS}), feature

    def _read(self, ask: Callable[[], T]) -> T:
        """What the newest version holds; again where another process has just cleared that away for a newer one.

        Raises:
            UserError: it cannot be read.
        """
        for left in reversed(range(TRIES)):
            try:
                with told(self.place, "cannot be read"):
                    self.table.checkout_latest()
                    return ask()
            except UserError:  # noqa: PERF203 (rare)
                if not left:
                    raise
        raise AssertionError

    def optimise(self, *, progress: bool = False) -> None:
        self.table.checkout_latest()
        self._tidy()
        total = self.table.count_rows()
        if total < LISTED or total < GROWN * self.facts.search().limit(1).to_list()[0][LISTS_FOR]:
            return
        if progress:
            print(f"lists for {total:,} pictures are made, which takes a while", flush=True)
        kind = IvfFlat if self.about.width % 8 else IvfRq  # codes are whole bytes
        config = kind(distance_type="dot", max_iterations=ROUNDS)
        self.table.create_index(VECTOR, config=config, replace=True)
        self.facts.update(values={LISTS_FOR: total})
        self._tidy()

    def _tidy(self) -> None:
        """Join small files, put new entries into the lists, and let former versions go at once. Who reads a former one
        now asks again. LanceDB rewrites a file only when a tenth of it was removed, and may leave lists that it no
        longer reads: removed features stay there so long."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="optimize")
            self.table.optimize(cleanup_older_than=timedelta(0))


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Modality) else value


def _hit(row: dict[str, Any]) -> Hit:
    return Hit(Entry.from_dict({name: row[name] for name in COLUMNS}), 1 - float(row[DISTANCE]))


def _text(value: str) -> str:
    quoted = value.replace("'", "''")
    return f"'{quoted}'"


def _one_of(column: str, values: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(map(_text, values))})"


def _condition(where: Filter) -> str:
    """In SQL."""
    parts = []
    if where.cameras:
        parts.append(_one_of("camera", where.cameras))
    if where.modality is not None:
        parts.append(_one_of("modality", [where.modality.value]))
    if where.since is not None:
        parts.append(f"time >= {where.since}")
    if where.until is not None:
        parts.append(f"time <= {where.until}")
    return " AND ".join(parts)
