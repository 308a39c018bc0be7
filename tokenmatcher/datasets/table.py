"""Your own cameras: a CSV file.

    path,camera,modality,identity,split
    day/0001.jpg,gate,visible,anna,train
    night/0001.jpg,yard,infrared,anna,query

`path` is relative to the file's folder, `modality` visible or infrared; `camera` and `identity` are any text. `split`
is train (also where it is empty or absent), query or gallery. Without identities everything trains, nothing is scored.
Lines that begin with # are comments; two of them say how to test:

    # same place: gate+yard, hall+stairs      a query by one camera does not see the gallery's images by the other;
                                              several such lines add up
    # cmc: plain                              count every image of the gallery, not each identity once ("distinct")
"""

from __future__ import annotations

import csv
import gc
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmatcher.contracts import UNKNOWN, ImageRecord, Modality
from tokenmatcher.datasets.base import Dataset, Option, Training
from tokenmatcher.datasets.copy import check_images
from tokenmatcher.datasets.duplicates import note_on_duplicates
from tokenmatcher.datasets.files import leaves_root, read_text
from tokenmatcher.datasets.protocols import Benchmark, ImageIndex, Protocol, Trial
from tokenmatcher.datasets.summary import Count, Summary, few
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.images.pictures import IMAGE_SUFFIXES
from tokenmatcher.recipe import Recipe
from tokenmatcher.sizing import sized

NEEDED, MORE = ("path", "camera", "modality"), ("identity", "split")
SPLITS = ("train", "query", "gallery")
CMC = ("distinct", "plain")
LONGEST = 200  # characters of a name
SAME_PLACE, CMC_LINE = "same place", "cmc"  # what comments that say how to test begin with, before a colon


@dataclass(frozen=True)
class Rows:
    """A file's content.

    records: of each split, in the file's order; cameras and identities numbered by `cameras` and `identities`.
    cameras, identities: names in order of their numbers, from 1.
    options: of the test, from the file's comments.
    """

    records: Mapping[str, list[ImageRecord]]
    cameras: tuple[str, ...]
    identities: tuple[str, ...]
    options: Mapping[str, str]


class Table(Dataset):
    """The data set in a CSV file, read when this is made.

    Raises:
        UserError: a line is not as it should be; names it.
    """

    in_one_file, presets_of = True, "table"

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.title = path, path.stem, path.name
        self.rows = read_table(path)
        self.camera_names = self.rows.cameras
        self.records = [record for split in self.rows.records.values() for record in split]
        self.cameras = {
            m: tuple(sorted({record.camera for record in self.records if record.modality is m})) for m in Modality
        }
        given = self.rows.options
        try:
            self._same_places(given.get("same_place", ""))
        except SettingError as error:
            raise UserError(f"{path}: {error}") from None
        self.options = {
            "cmc": Option(given.get("cmc", CMC[0]), CMC, "count each identity of the gallery once, or every image"),
            "same_place": Option(
                given.get("same_place", ""), (), "cameras at one place, A+B,C+D: the one's queries do not see the other"
            ),
        }

    @property
    def default_dir(self) -> Path:
        return self.path.parent

    def store_dir(self, data_dir: Path) -> Path:
        return data_dir / f"{self.name}.store"

    def fitted(self, recipe: Recipe) -> Recipe:
        train = self.rows.records["train"]
        counts = {m: Counter(record.camera for record in train if record.modality is m) for m in Modality}
        return sized(recipe, counts)

    def prepare(self, data_dir: Path) -> Summary:
        for m in Modality:
            if not self.cameras[m]:
                raise UserError(f"{self.path}: no {m} image; training and tests need both modalities")
        check_images(record.path for record in self.records)
        counts = [Count("identities", len(self.rows.identities)), Count("cameras", len(self.rows.cameras))]
        for split, own in self.rows.records.items():
            counts += [Count(f"{m} {split} images", sum(record.modality is m for record in own)) for m in Modality]
        notes = self.oddities()
        if self._directions():
            try:
                self.tested(data_dir)
            except UserError as error:
                notes.append(f"no test: {error}")
        return Summary(self.title, self.path.parent, tuple(counts), notes=tuple(notes), rules=self.test_rules())

    def training(self, data_dir: Path, trial: int | None = None) -> Training:
        self.check_trial(trial)
        found = {m: [r for r in self.rows.records["train"] if r.modality is m] for m in Modality}
        for m, records in found.items():
            if not records:
                raise UserError(f"{self.path}: no {m} image to train on")
        return found

    def has_test(self, data_dir: Path, trial: int | None = None) -> bool:
        return bool(self._directions())

    def benchmark(
        self, data_dir: Path, trial: int | None = None, options: Mapping[str, Any] | None = None
    ) -> Benchmark:
        chosen, index = self.chosen(options), ImageIndex()
        directions = self._directions()
        if not directions:
            raise UserError(f"{self.path}: no queries of one modality with a gallery of the other (column split)")
        rows = self.rows.records
        protocols = []
        for m in directions:
            query = index.of([record for record in rows["query"] if record.modality is m])
            gallery = index.of([record for record in rows["gallery"] if record.modality is m.other])
            protocols.append(
                Protocol(
                    f"{m}-to-{m.other}",
                    (Trial(query, gallery),),
                    excluded_cameras=self._same_places(chosen["same_place"]),
                    distinct_identities=chosen["cmc"] == "distinct",
                )
            )
        return Benchmark(index.images, tuple(protocols))

    def test_rules(self, options: Mapping[str, Any] | None = None) -> str:
        if not self._directions():
            return ""
        chosen = self.chosen(options)
        pairs = ", ".join(filter(None, map(str.strip, chosen["same_place"].split(",")))) or "none"
        return f"tested with cmc: {chosen['cmc']}, same place: {pairs}"

    def _directions(self) -> list[Modality]:
        """Of the queries, infrared first: where the other modality has a gallery."""
        rows = self.rows.records
        there = {
            (split, m): any(record.modality is m for record in rows[split]) for split in SPLITS[1:] for m in Modality
        }
        order = (Modality.INFRARED, Modality.VISIBLE)
        return [m for m in order if there["query", m] and there["gallery", m.other]]

    def _same_places(self, text: str) -> frozenset[tuple[int, int]]:
        """Both ways round of each pair.

        Raises:
            SettingError: not A+B, C+D, or no such camera.
        """
        numbers = {name: number for number, name in enumerate(self.rows.cameras, start=1)}
        pairs = set()
        for pair in filter(None, (part.strip() for part in text.split(","))):
            names = [name.strip() for name in pair.split("+")]
            if len(names) != 2 or any(name not in numbers for name in names):
                raise SettingError(
                    "{same_place} {pair}: must be two cameras, A+B, of {known}",
                    pair=repr(pair),
                    known=few(self.rows.cameras),
                )
            first, second = (numbers[name] for name in names)
            pairs |= {(first, second), (second, first)}
        return frozenset(pairs)

    def oddities(self, *, progress: bool = True) -> list[str]:
        """What looks wrong, though it can be worked with."""
        found = []
        cameras, names = self.cameras, self.rows.cameras
        if both := sorted(set(cameras[Modality.VISIBLE]) & set(cameras[Modality.INFRARED])):
            found.append(f"both visible and infrared images by camera {few([names[n - 1] for n in both])}")
        trained = {record.modality for record in self.rows.records["train"]}
        found += [f"no {m} image to train on: the file serves tests alone" for m in Modality if m not in trained]
        single = [m for m in Modality if len(cameras[m]) == 1]
        if single and not self.many_cameras:
            found.append("no modality has several cameras, so there is no camera stage")
        elif single:
            found.append(
                f"{single[0]}: one camera; since {single[0].other} has several, the camera stage looks at it as well"
            )
        if not self.rows.identities:
            found.append("no identities: labels and matches cannot be checked, nothing is scored")
        return found + note_on_duplicates(self.rows.records, self.path.parent, progress=progress)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python's collector looks through all rows again and again as they grow: half of the time for a million."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_no_collection()
def read_table(path: Path) -> Rows:
    """The rows of a CSV file; see this file's head.

    Raises:
        UserError: no such file, no table, or a line that is not as it should be; names file and line.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    folder, found = path.parent, []
    options: dict[str, str] = {}
    here: dict[str, set[str]] = {}
    names: dict[str, set[str]] = {"camera": set(), "identity": set()}
    seen: set[str] = set()
    modalities = {m.value: m for m in Modality}
    for line, (entry, camera, kind, identity, split) in _lines(path, options, here):
        kind, split = kind.lower(), split.lower() or "train"
        if not entry or leaves_root(entry):
            wrong = f"{entry[:80]!r} is not a path inside the table's folder"
        elif (place := os.path.normpath(entry) if "./" in entry or "//" in entry else entry) in seen:
            wrong = f"{entry[:80]!r} stands there twice"
        elif kind not in modalities:
            wrong = f"modality {kind[:40]!r} is neither visible nor infrared"
        elif split not in SPLITS:
            wrong = f"split {split[:40]!r} is none of {', '.join(SPLITS)}"
        elif not camera:
            wrong = "no camera"
        elif not identity and split != "train":
            wrong = f"a {split} image without identity cannot be scored"
        elif not _is_there(folder, entry, here):
            wrong = f"no such image: {folder / entry}"
        else:
            seen.add(place)
            names["camera"].add(camera)
            if identity:
                names["identity"].add(identity)
            found.append((entry, modalities[kind], split, camera, identity))
            continue
        raise UserError(f"{path}, line {line}: {wrong}")
    if not found:
        raise UserError(f"{path}: holds no image")
    order = {kind: sorted(known, key=_natural) for kind, known in names.items()}
    number = {kind: {name: place for place, name in enumerate(known, start=1)} for kind, known in order.items()}
    records: dict[str, list[ImageRecord]] = {split: [] for split in SPLITS}
    for entry, modality, split, camera, identity in found:
        records[split].append(
            ImageRecord(
                folder / entry,
                modality,
                number["camera"][camera],
                number["identity"][identity] if identity else UNKNOWN,
            )
        )
    return Rows(records, tuple(order["camera"]), tuple(order["identity"]), options)


def _lines(path: Path, options: dict[str, str], here: dict[str, set[str]]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Number of every row and its cells in the order of NEEDED and MORE, "" for what is absent; what comments say is
    put into `options`. `here`: see `_is_there`."""
    text = read_text(path)
    if "\0" in text:
        raise UserError(f"{path} is not text")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    head: list[str] | None = None
    places: list[int] = []
    try:
        for cells in reader:
            if not cells or not "".join(cells).strip():
                continue
            if cells[0].lstrip().startswith("#"):
                where = f"{path}, line {reader.line_num}"
                if head is not None and len(cells) >= len(NEEDED) and _is_row(cells, places, path.parent, here):
                    raise UserError(
                        f"{where}: begins with # like a comment, but is the row of an image; names must not begin with "
                        "#, and a row that is not wanted must be deleted"
                    )
                _comment(",".join(cells).strip("#, \t"), options, where)
            elif head is None:
                head = _head(cells, path)
                places = [head.index(name) if name in head else len(head) for name in (*NEEDED, *MORE)]
            elif len(cells) > len(head):
                raise UserError(f"{path}, line {reader.line_num}: {len(cells)} cells under {len(head)} columns")
            else:
                cells += [""] * (len(head) + 1 - len(cells))  # the last stands for absent columns
                row = tuple([cells[place].strip() for place in places])
                if len(row[1]) > LONGEST or len(row[3]) > LONGEST:
                    raise UserError(
                        f"{path}, line {reader.line_num}: a camera or identity of more than {LONGEST} letters"
                    )
                yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from None
    if head is None:
        raise UserError(f"{path}: no line with the columns {', '.join(NEEDED)}")


def _head(cells: list[str], path: Path) -> list[str]:
    head = [cell.strip().lower() for cell in cells]
    if absent := [name for name in NEEDED if name not in head]:
        raise UserError(f"{path}: no column {', '.join(absent)} among {', '.join(map(repr, head[:8]))}")
    if unknown := [name for name in head if name not in (*NEEDED, *MORE)]:
        raise UserError(f"{path}: unknown column {unknown[0][:40]!r}; there are {', '.join((*NEEDED, *MORE))}")
    if twice := [name for name in head if head.count(name) > 1]:
        raise UserError(f"{path}: column {twice[0]!r} stands there twice")
    return head


def _is_row(cells: list[str], places: list[int], folder: Path, here: dict[str, set[str]]) -> bool:
    """Whether a line that begins with # names an image that is there."""
    entry = cells[places[0]].strip() if places[0] < len(cells) else ""
    return bool(entry) and not leaves_root(entry) and _is_there(folder, entry, here)


def _comment(text: str, options: dict[str, str], where: str) -> None:
    """What a comment says of the test is put into `options`.

    Raises:
        UserError: it begins like one that does, but is not written as one must be.
    """
    kind, colon, value = (part.strip() for part in text.partition(":"))
    folded = re.sub(r"[-_\s]", "", text.lower())
    for form in (SAME_PLACE, CMC_LINE):
        if folded.startswith(form.replace(" ", "")) and not (colon and kind.lower() == form and text[len(form)] == ":"):
            raise UserError(f"{where}: {text[:80]!r} must begin with '{form}:'")
    if kind.lower() == SAME_PLACE and colon:
        options["same_place"] = ", ".join(filter(None, (options.get("same_place"), value)))
    elif kind.lower() == CMC_LINE and colon:
        if "cmc" in options:
            raise UserError(f"{where}: a second line says what cmc is")
        options["cmc"] = value.lower()
        if options["cmc"] not in CMC:
            raise UserError(f"{where}: cmc must be {' or '.join(CMC)}, got {value[:40]!r}")


def _is_there(folder: Path, entry: str, here: dict[str, set[str]]) -> bool:
    """Whether a picture lies there; every folder is looked into once."""
    parent, _, name = entry.rpartition("/")
    if f".{name.rpartition('.')[2].lower()}" not in IMAGE_SUFFIXES or "." not in name[1:]:
        return False
    if parent not in here:
        try:
            with os.scandir(folder / parent) as entries:
                here[parent] = {item.name for item in entries if item.is_file()}
        except (OSError, ValueError):
            here[parent] = set()
    return name in here[parent]


def _natural(name: str) -> tuple[bool, int, str]:
    """Numbers by size, before words."""
    number = name.isascii() and name.isdigit() and len(name) < 10
    return (not number, int(name) if number else 0, name)
