import os
from pathlib import Path

import pytest
from galleries import crowd, person

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.gallery.records import shown_time
from tokenmatcher.gallery.scan import camera_of, scan, time_of

VISIBLE, INFRARED = Modality


@pytest.mark.parametrize(
    ("path", "camera"),
    [
        ("cam3/0001/1.jpg", "3"),
        ("camera_yard/1.jpg", "yard"),
        ("Camera-12/x/1.jpg", "12"),
        ("site/c05/1.jpg", "05"),
        ("cam1/cam2/1.jpg", "2"),
        ("gate/2026-05-01/1.jpg", "gate"),
        ("2026-05-01/gate/anna/1.jpg", "gate"),
        ("cats/1.jpg", "cats"),
        ("2026-05-01/1.jpg", ""),
        ("cam3.jpg", ""),
        ("tür ü/1.jpg", "tür ü"),
        ("cam-gate2/1.jpg", "gate2"),
        ("camera main/1.jpg", "main"),
        ("cam_3b/1.jpg", "3b"),
        ("c_tür/1.jpg", "tür"),
        ("cameras/gate/1.jpg", "cameras"),
        ("Camera/1.jpg", "Camera"),
        ("campus/1.jpg", "campus"),
        ("site/c1ara/1.jpg", "site"),
        ("cam_/1.jpg", "cam_"),
    ],
)
def test_a_folder_names_the_camera(path, camera):
    assert camera_of(Path(path)) == camera


@pytest.mark.parametrize(
    ("path", "time"),
    [
        ("2026-05-01/1.jpg", "2026-05-01 00:00:00"),
        ("20260501/a/1.jpg", "2026-05-01 00:00:00"),
        ("2026-05-01/20260502T123005.jpg", "2026-05-02 12:30:05"),
        ("cam1/x_2026-05-01_12-30-05_7.jpg", "2026-05-01 12:30:05"),
        ("cam1/2026.05.01 12h30.jpg", "2026-05-01 12:30:00"),
        ("cam1/2026-05-01_0060.jpg", "2026-05-01 00:00:00"),
        ("2026-13-01/1.jpg", ""),
        ("cam1/0001.jpg", ""),
        ("cam1/120260501.jpg", ""),
    ],
)
def test_a_name_says_the_time(path, time):
    assert shown_time(time_of(Path(path))) == time


def names(found, folder):
    return [Path(entry.path).relative_to(folder.resolve()).as_posix() for entry in found.entries]


def test_all_pictures_below_a_folder(tmp_path):
    crowd(tmp_path / "in", people=1)
    person(tmp_path / "in/.hidden/1.png", 1)
    person(tmp_path / "in/._1.png", 1)
    (tmp_path / "in/notes.txt").write_text("x")
    found = scan(tmp_path / "in", VISIBLE)
    assert names(found, tmp_path / "in") == [
        "day/2026-05-01/cam1/00 é.png", "day/2026-05-02/cam1/00 é.png", "day/2026-05-03/cam2/00 é.png",
        "night/cam3/00_20260504T2305.png",
    ]  # fmt: skip
    assert [entry.camera for entry in found.entries] == ["1", "1", "2", "3"]
    assert shown_time(found.entries[3].time) == "2026-05-04 23:05:00"
    assert not found.passed_over and not found.notes


def test_links_are_followed_and_no_loop_is_endless(tmp_path):
    disk, folder = tmp_path / "disk", tmp_path / "in"
    person(disk / "cam9/1.png", 1)
    person(folder / "a/2.png", 2)
    (folder / "linked").symlink_to(disk, target_is_directory=True)
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    (disk / "back").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to("self")
    (folder / "dead.png").symlink_to("nowhere.png")
    found = scan(folder, VISIBLE)
    assert names(found, folder) == ["a/2.png", "linked/cam9/1.png"]
    assert [entry.camera for entry in found.entries] == ["a", "9"]
    assert sorted(Path(path).name for path, _ in found.passed_over) == ["dead.png", "self"]
    assert sorted(found.unread) == [str(folder / "dead.png"), str(folder / "self")], "maybe of pictures"
    (tmp_path / "other name").symlink_to(folder, target_is_directory=True)
    assert scan(tmp_path / "other name", VISIBLE).entries == found.entries


def test_a_file_of_two_names_is_taken_once(tmp_path):
    first = person(tmp_path / "a.png", 1)
    (tmp_path / "b.png").hardlink_to(first)
    (tmp_path / "c.png").symlink_to(first)
    found = scan(tmp_path, VISIBLE)
    assert names(found, tmp_path) == ["a.png"]
    assert found.passed_over == [(str(tmp_path / n), f"the same file as {first}") for n in ("b.png", "c.png")]


def test_a_pipe_is_passed_over(tmp_path):
    person(tmp_path / "a.png", 1)
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("b.png")
    found = scan(tmp_path, VISIBLE)
    assert names(found, tmp_path) == ["a.png"] and not found.unread
    assert found.passed_over == [(str(tmp_path / name), "not a regular file") for name in ("b.png", "c.png")]


def test_a_name_that_is_not_text_is_passed_over(tmp_path):
    person(tmp_path / "a.png", 1)
    try:
        (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    found = scan(tmp_path, VISIBLE)
    assert found.entries == [] and found.passed_over[0][1] == "its name is not UTF-8"


def test_a_table_says_camera_and_time(tmp_path):
    crowd(tmp_path / "in", people=1)
    table = tmp_path / "own.csv"
    table.write_text(
        "# comment\npath,identity,camera,modality,time\n"
        "day/2026-05-01/cam1/00 é.png,anna,gate,visible,2026-05-01 12:00\n"
        "./day/2026-05-02/cam1/00 é.png,,,,\n"
        "night/cam3/00_20260504T2305.png,anna,yard,infrared,\nabsent.png,,yard,visible,\n"
    )
    found = scan(tmp_path / "in", VISIBLE, table)
    assert [(entry.camera, shown_time(entry.time)) for entry in found.entries] == [
        ("gate", "2026-05-01 12:00:00"), ("", ""), ("", ""),
    ]  # fmt: skip
    assert [note.partition(": ")[2] for note in found.notes] == [
        "1 pictures of the other modality are passed over",
        "does not name 1 pictures, which get no camera and no time",
        f"names 1 pictures that are not in {tmp_path / 'in'}",
    ]


def test_no_folder_and_no_table_are_told(tmp_path):
    with pytest.raises(UserError, match=r"images .*absent: no such folder"):
        scan(tmp_path / "absent", VISIBLE)
    with pytest.raises(UserError, match=r"table .*absent\.csv: no such file"):
        scan(tmp_path, VISIBLE, tmp_path / "absent.csv")
