"""An index follows its folder."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from galleries import crowd, person

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.gallery import index
from tokenmatcher.gallery.index import about, forget, update
from tokenmatcher.gallery.records import Filter
from tokenmatcher.gallery.scan import scan
from tokenmatcher.gallery.stores import open_store

VISIBLE, INFRARED = Modality


@pytest.fixture
def store(tmp_path, model, checkpoint):
    return open_store(str(tmp_path / "index"), about(model, checkpoint))


@pytest.fixture
def bring(store, model):
    """Index a folder, and return numbers of new, changed, known, gone and damaged pictures."""

    def call(folder, modality=VISIBLE, table=None, **options):
        found = scan(folder, modality, table)
        report = update(store, model, found, folder, modality, progress=False, **options)
        return report.added, report.changed, report.known, report.gone, len(report.damaged)

    return call


@pytest.fixture
def interrupted(bring, monkeypatch):
    """Index a folder in batches of four, each saved, until Ctrl-C at the fourteenth picture."""

    def call(folder):
        decode, read = index.decode, []

        def failing(path, *size):
            read.append(path)
            if len(read) > 13:
                raise KeyboardInterrupt
            return decode(path, *size)

        with monkeypatch.context() as patch:
            patch.setattr(index, "SAVED_EVERY", 0.0)
            patch.setattr(index, "BATCH", 4)
            patch.setattr(index, "decode", failing)
            with pytest.raises(KeyboardInterrupt):
                bring(folder)

    return call


def test_features_are_those_of_the_model(bring, store, model, tmp_path):
    folder = crowd(tmp_path / "in", people=12)
    assert bring(folder) == (48, 0, 0, 0, 0)
    entries = sorted(store.entries(), key=lambda entry: entry.path)
    expected = model.embed([entry.path for entry in entries], VISIBLE).numpy()
    # Batches of another size may round otherwise: unit features, a few float32 roundings.
    for entry, feature in zip(entries, expected, strict=True):
        assert np.allclose(store.find(entry.path)[1], feature, atol=1e-5)


def test_only_what_is_new_is_added(bring, store, tmp_path):
    folder = crowd(tmp_path / "in", people=2)
    assert bring(folder / "day") == (6, 0, 0, 0, 0)
    assert bring(folder / "day") == (0, 0, 6, 0, 0)
    person(folder / "day/2026-05-01/cam1/new.png", 7)
    changed = person(folder / "day/2026-05-03/cam2/00 é.png", 8)
    os.utime(changed, ns=(10**18, 10**18))
    before = store.find(str(changed))[1]
    assert bring(folder / "day") == (1, 1, 5, 0, 0)
    assert store.count(Filter()) == 7 and not np.allclose(store.find(str(changed))[1], before, atol=1e-4)
    assert bring(folder / "night", INFRARED) == (2, 0, 0, 0, 0)
    assert store.count(Filter(modality=INFRARED)) == 2


def test_what_a_table_says_anew_is_taken(bring, store, tmp_path):
    picture, table = person(tmp_path / "in/1.png", 1), tmp_path / "own.csv"
    assert bring(tmp_path / "in") == (1, 0, 0, 0, 0)
    table.write_text("path,camera\n1.png,gate\n")
    assert bring(tmp_path / "in", table=table) == (0, 1, 0, 0, 0)
    assert store.find(str(picture))[0].camera == "gate"


def test_what_is_gone_stays_unless_pruned_and_other_folders_are_let_alone(bring, store, tmp_path):
    folder = crowd(tmp_path / "in", people=2)
    bring(folder / "day")
    bring(folder / "night", INFRARED)
    (tmp_path / "in/day beside").mkdir()
    person(tmp_path / "in/day beside/1.png", 1)
    bring(folder / "day beside")
    (folder / "day/2026-05-01/cam1/00 é.png").unlink()
    assert bring(folder / "day") == (0, 0, 5, 1, 0) and store.count(Filter()) == 9
    assert bring(folder / "day", prune=True) == (0, 0, 5, 1, 0) and store.count(Filter()) == 8
    assert bring(folder / "day", prune=True) == (0, 0, 5, 0, 0) and store.count(Filter()) == 8


def test_what_cannot_be_looked_at_is_not_gone(store, model, tmp_path, monkeypatch):
    """A locked folder, a link to a disk that is away, and a picture that is gone."""
    folder, disk = crowd(tmp_path / "in", people=1), tmp_path / "disk"
    person(disk / "cam9/1.png", 1)
    (folder / "linked").symlink_to(disk, target_is_directory=True)

    def bring():
        return update(
            store, model, scan(folder, VISIBLE), folder, VISIBLE, prune=True, progress=False, say=lambda line: None
        )

    bring()
    disk.rename(tmp_path / "away")
    next(folder.glob("night/*/*")).unlink()
    scandir, locked = os.scandir, str(folder / "day/2026-05-03")

    def guarded(place="."):
        if str(place) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", locked)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", guarded)
    report = bring()
    assert (report.gone, report.unread, report.known) == (1, 2, 2) and store.count(Filter()) == 4


def test_what_lies_below_a_folder_is_forgotten(bring, store, tmp_path):
    folder = crowd(tmp_path / "in", people=2)
    bring(folder / "day")
    bring(folder / "night", INFRARED)
    (tmp_path / "way").symlink_to(tmp_path, target_is_directory=True)
    folder.rename(tmp_path / "other")
    assert forget(store, tmp_path / "in/da", progress=False) == 0
    assert forget(store, tmp_path / "way/in/day/2026-05-01", progress=False) == 2 and store.count(Filter()) == 6
    last = max(entry.path for entry in store.entries())
    assert forget(store, Path(last), progress=False) == 1, "a picture by its name"
    assert forget(store, folder, progress=False) == 5 and store.count(Filter()) == 0


def test_lists_that_a_killed_run_left_out_are_made(bring, store, tmp_path, monkeypatch):
    folder, calls = crowd(tmp_path / "in", people=1), []
    bring(folder)
    monkeypatch.setattr(store, "optimise", lambda **options: calls.append(options))
    assert bring(folder) == (0, 0, 4, 0, 0) and len(calls) == 1


def test_a_full_disk_at_the_end_is_told(bring, store, tmp_path, monkeypatch):
    def full(**options):
        raise RuntimeError("lance error: LanceError(IO): No space left on device (os error 28), /x/src/io.rs:1:2")

    monkeypatch.setattr(store, "optimise", full)
    with pytest.raises(UserError, match=r"index: cannot be written \(No space left on device\)$"):
        bring(crowd(tmp_path / "in", people=1))


def test_damaged_pictures_are_told_and_passed_over(bring, store, tmp_path):
    folder, said = crowd(tmp_path / "in", people=1), []
    whole = (folder / "night/cam3/00_20260504T2305.png").read_bytes()
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "folder.jpg").mkdir()
    assert bring(folder, say=said.append) == (4, 0, 0, 0, 3)
    assert sorted(Path(line.split(": ")[1]).name for line in said) == ["cut.png", "empty.jpg", "text.png"]
    (folder / "cut.png").write_bytes(whole)
    (folder / "night/cam3/00_20260504T2305.png").write_bytes(whole[:50])
    assert bring(folder, say=said.append) == (1, 0, 3, 0, 3)
    assert store.count(Filter()) == 4, "a picture that can no longer be read is no longer found"


def test_one_picture_has_one_modality(bring, tmp_path):
    folder = crowd(tmp_path / "in", people=1)
    bring(folder / "night", INFRARED)
    with pytest.raises(UserError, match=r"modality visible: 1 of these pictures are in the index as infrared"):
        bring(folder)


def test_it_goes_on_where_it_stopped(bring, interrupted, store, tmp_path):
    folder = crowd(tmp_path / "in", people=6)
    interrupted(folder)
    kept = store.count(Filter())
    assert 4 <= kept <= 12
    assert bring(folder) == (24 - kept, 0, kept, 0, 0)
    assert len({entry.path for entry in store.entries()}) == store.count(Filter()) == 24


def test_changed_pictures_stay_until_they_are_read_anew(bring, interrupted, store, tmp_path):
    """Also where the process ends before; what cannot be read any more goes at the end."""
    folder = crowd(tmp_path / "in", people=6)
    assert bring(folder) == (24, 0, 0, 0, 0)
    pictures = sorted(path for path in folder.rglob("*.png"))
    for path in pictures:
        os.utime(path, ns=(10**18, 10**18))
    pictures[-1].write_text("no picture")
    interrupted(folder)
    entries = list(store.entries())
    assert len(entries) == len({entry.path for entry in entries}) == 24
    anew = sum(entry.changed == 10**18 for entry in entries)
    assert 4 <= anew <= 12
    assert bring(folder) == (0, 23 - anew, anew, 0, 1)
    assert {entry.path for entry in store.entries()} == set(map(str, pictures[:-1]))


def test_two_cannot_write_at_once(bring, store, tmp_path):
    folder = crowd(tmp_path / "in", people=1)
    with store.writing(), pytest.raises(UserError, match=r"output .*index: another run writes here"):
        bring(folder)
    assert bring(folder) == (4, 0, 0, 0, 0)
