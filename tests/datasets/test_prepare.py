import os
import shutil
from pathlib import Path

import pytest
from scripts import call

from tests.trees import TEST_IDS, TRAIN_IDS, VAL_IDS, listing, regdb_tree, strew, sysu_tree, write_image
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.regdb import prepare_regdb, read_regdb_list
from tokenmatcher.datasets.summary import Count, Summary
from tokenmatcher.datasets.sysu import Sysu, prepare_sysu
from tokenmatcher.errors import UserError

COPIES = ("rgb_modify", "ir_modify")


@pytest.fixture
def sysu(tmp_path):
    return sysu_tree(tmp_path / "sysu")


@pytest.fixture
def regdb(tmp_path):
    return regdb_tree(tmp_path / "regdb")


def copies(root):
    return {name: listing(root / name) for name in COPIES}


def expected_sysu(root):
    """The copy written out again, by the words of the layout."""
    result = {}
    for name, cameras in (("rgb_modify", (1, 2, 4, 5)), ("ir_modify", (3, 6))):
        files = {}
        for identity in (*TRAIN_IDS, *VAL_IDS, *TEST_IDS):
            seen = 0
            for camera in cameras:
                for path in sorted((root / f"cam{camera}" / f"{identity:04d}").glob("[0-9]*.jpg")):
                    folder = "bounding_box_train"
                    if identity in TEST_IDS:
                        folder = "query" if seen < 4 else "bounding_box_test"
                    files[f"{folder}/{identity:04d}_c{camera}_{path.name}"] = path.read_bytes()
                    seen += 1
        result[name] = files
    return result


def test_sysu_copy(sysu):
    expected = expected_sysu(sysu)
    prepare_sysu(sysu)
    assert copies(sysu) == expected
    assert not list(sysu.glob(".*"))
    original = sysu / "cam1" / "0001" / "0001.jpg"
    assert original.samefile(sysu / "rgb_modify" / "bounding_box_train" / "0001_c1_0001.jpg")


def test_regdb_copy(regdb):
    prepare_regdb(regdb)
    for trial in range(1, 11):
        for name, modality in zip(COPIES, Modality, strict=True):
            records = read_regdb_list(regdb, "train", modality, trial)
            expected = {f"{record.identity:04d}_c1_{record.path.name}": record.path.read_bytes() for record in records}
            assert listing(regdb / name / str(trial)) == {f"bounding_box_train/{k}": v for k, v in expected.items()}


def test_strays_are_left_out(sysu):
    expected = expected_sysu(sysu)
    strew(sysu)
    prepare_sysu(sysu)
    assert copies(sysu) == expected


@pytest.mark.parametrize(("make", "prepare"), [(sysu_tree, prepare_sysu), (regdb_tree, prepare_regdb)])
def test_again_changes_nothing(tmp_path, make, prepare):
    root = make(tmp_path / "set")
    first = prepare(root)
    before = copies(root)
    folders = [(root / name).stat().st_ino for name in COPIES]
    assert prepare(root) == first
    assert copies(root) == before
    assert [(root / name).stat().st_ino for name in COPIES] == folders


def test_missing_files_return_and_stale_ones_vanish(sysu):
    prepare_sysu(sysu)
    before = copies(sysu)
    folder = sysu / "ir_modify" / "bounding_box_train"
    next(folder.iterdir()).unlink()
    write_image(folder / "9999_c3_0001.jpg", 0)
    prepare_sysu(sysu)
    assert copies(sysu) == before


def test_changed_image_is_renewed(sysu):
    prepare_sysu(sysu)
    original = sysu / "cam3" / "0001" / "0001.jpg"
    original.unlink()
    write_image(original, 99, size=(9, 20))
    prepare_sysu(sysu)
    assert (sysu / "ir_modify" / "bounding_box_train" / "0001_c3_0001.jpg").read_bytes() == original.read_bytes()


def refuse(source, target):
    raise OSError("no hard links here")


def test_copies_where_links_are_refused(sysu, monkeypatch):
    expected = expected_sysu(sysu)
    monkeypatch.setattr(os, "link", refuse)
    prepare_sysu(sysu)
    assert copies(sysu) == expected
    assert (sysu / "cam1" / "0001" / "0001.jpg").stat().st_nlink == 1
    monkeypatch.setattr(shutil, "copy2", refuse)
    prepare_sysu(sysu)
    assert copies(sysu) == expected


def test_no_room_for_the_copy(sysu, monkeypatch):
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copy2", refuse)
    with pytest.raises(UserError, match=r"cannot write the training copy in .*sysu"):
        prepare_sysu(sysu)
    assert not any((sysu / name).exists() for name in COPIES) and not list(sysu.glob(".*"))


@pytest.mark.parametrize("links", [0, 5, 60])
def test_interruption_leaves_the_old_copy_whole(sysu, monkeypatch, links):
    prepare_sysu(sysu)
    before = copies(sysu)
    write_image(sysu / "cam3" / "0001" / "0099.jpg", 0)
    write_image(sysu / "cam1" / "0001" / "0099.jpg", 0)
    done = []
    link = os.link

    def interrupted(source, target):
        if len(done) == links:
            raise KeyboardInterrupt
        done.append(target)
        link(source, target)

    monkeypatch.setattr(os, "link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_sysu(sysu)
    assert copies(sysu) == before
    assert not list(sysu.glob(".*"))


def test_interruption_of_the_first_copy_leaves_none(sysu, monkeypatch):
    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_sysu(sysu)
    assert not any((sysu / name).exists() for name in COPIES) and not list(sysu.glob(".*"))


def test_interruption_of_the_swap_puts_the_old_copy_back(sysu, monkeypatch):
    prepare_sysu(sysu)
    before = copies(sysu)
    write_image(sysu / "cam1" / "0001" / "0099.jpg", 0)
    rename = Path.rename

    def interrupted(self, target):
        if self.name == ".rgb_modify.new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_sysu(sysu)
    assert copies(sysu) == before
    assert not list(sysu.glob(".*"))


def test_leftovers_of_a_killed_run_are_cleared(sysu):
    prepare_sysu(sysu)
    before = copies(sysu)
    (sysu / "rgb_modify").rename(sysu / ".rgb_modify.old")
    write_image(sysu / ".rgb_modify.new" / "query" / "0001_c1_0001.jpg", 0)
    (sysu / ".ir_modify.new").mkdir()
    prepare_sysu(sysu)
    assert copies(sysu) == before
    assert not list(sysu.glob(".*"))


def test_linked_and_oddly_named_folders(tmp_path):
    real = sysu_tree(tmp_path / "größe 人 disk")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (real / "ir_modify").symlink_to(elsewhere)
    (tmp_path / "a link").symlink_to(real)
    picture = real / "cam1" / "0001" / "0001.jpg"
    picture.rename(tmp_path / "picture.jpg")
    picture.symlink_to("../../../picture.jpg")
    prepare_sysu(tmp_path / "a link")
    assert copies(real) == expected_sysu(real)
    assert (real / "ir_modify").is_symlink() and (elsewhere / "bounding_box_train").is_dir()
    assert len(Sysu().training(tmp_path / "a link")[Modality.VISIBLE]) > 0


def test_sysu_table(sysu):
    summary = prepare_sysu(sysu)
    files = list(expected_sysu(sysu)["ir_modify"])
    cam3 = [name for name in files if "_train/" in name and "_c3_" in name]
    assert summary["training ids"] == 3 and summary["test ids"] == 3
    assert summary["infrared training images"] == sum("_train/" in name for name in files)
    assert summary["cam3 training images"] == len(cam3)
    assert summary["infrared test images (queries)"] == sum("_train/" not in name for name in files)
    assert summary["gallery of an all-search trial"] == sum((i + c) % 3 != 0 for i in TEST_IDS for c in (1, 2, 4, 5))
    lines = summary.table().splitlines()
    assert lines[0] == f"SYSU-MM01 in {sysu}"
    assert lines[2].split() == ["training", "ids", "3", "395"]
    assert [line.startswith("warning:") for line in lines] == [False] * (len(lines) - 1) + [True]
    assert "training ids 3 (real: 395)" in lines[-1] and "val_id" not in lines[-1]


def test_the_real_numbers_give_no_warning():
    summary = Summary("SYSU-MM01", Path("x"), (Count("training ids", 395, 395), Count("  cam1", 7)), "; hint")
    assert summary.warning == "" and "warning" not in summary.table()


@pytest.mark.parametrize(("found", "asked"), [(296, True), (297, False), (367, True)])
def test_forgotten_val_ids_are_asked_for(tmp_path, found, asked):
    root = sysu_tree(tmp_path / "sysu", train=(), val=(), test=(900,))
    ids = range(1, found + 1)
    for identity in ids:
        for camera in (1, 3):
            source = root / "cam1" / "0900" / "0001.jpg"
            target = root / f"cam{camera}" / f"{identity:04d}" / "0001.jpg"
            target.parent.mkdir(parents=True)
            os.link(source, target)
    (root / "exp" / "train_id.txt").write_text(",".join(map(str, ids)))
    (root / "exp" / "val_id.txt").write_text("")
    warning = prepare_sysu(root).warning
    assert f"training ids {found} (real: 395)" in warning
    assert ("were the ids of exp/val_id.txt forgotten?" in warning) == asked


def test_regdb_table(regdb):
    summary = prepare_regdb(regdb)
    assert summary["trials"] == 10
    assert summary["each trial: training ids"] == summary["each trial: test ids"] == 2
    assert summary["each trial: infrared test images"] == 4
    assert "each trial: training ids 2 (real: 206)" in summary.warning


def test_regdb_with_some_trials(tmp_path):
    root = regdb_tree(tmp_path / "regdb", trials=(2, 5))
    (root / "idx" / "train_visible_5.txt").write_text("Visible/1/v_001 0.bmp 0\n")
    (root / "idx" / "test_visible_5.txt").write_text("Visible/2/v_002 0.bmp 0\n")
    summary = prepare_regdb(root)
    assert summary["trials"] == 2
    assert summary["trial 2: visible training images"] == 4
    assert summary["trial 5: visible training images"] == 1
    assert sorted(path.name for path in (root / "rgb_modify").iterdir()) == ["2", "5"]


def break_image(root, content):
    (root / "cam6" / "0007").mkdir(parents=True, exist_ok=True)
    (root / "cam6" / "0007" / "0500.jpg").write_bytes(content)


def drop_camera(root, *cameras):
    for camera in cameras:
        shutil.rmtree(root / f"cam{camera}")


JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"

SYSU_FAULTS = {
    "zero bytes": (
        lambda root: break_image(root, b""),
        r"cam6.0007.0500\.jpg: cannot be read as an image \(.*, 0 bytes\)",
    ),
    "cut header": (lambda root: break_image(root, JPEG), r"0500\.jpg: cannot be read as an image \(.*, 12 bytes\)"),
    "no infrared": (lambda root: drop_camera(root, 3, 6), "no infrared training image in .*cam3, cam6"),
    "no visible": (lambda root: drop_camera(root, 1, 2, 4, 5), "no visible training image in .*cam1, cam2, cam4, cam5"),
    "no list": (lambda root: (root / "exp" / "val_id.txt").unlink(), r"no such file: .*val_id\.txt"),
    "bad list": (lambda root: (root / "exp" / "test_id.txt").write_text("5,six"), r"test_id\.txt: 'six' is not"),
    "overlap": (lambda root: (root / "exp" / "test_id.txt").write_text("7,2,4"), "both of training and of test: 4, 7$"),
    "no ids": (
        lambda root: [(root / "exp" / f"{name}_id.txt").write_text("") for name in ("train", "val")],
        "no visible training image",
    ),
}


@pytest.mark.parametrize("fault", SYSU_FAULTS)
def test_sysu_faults(sysu, fault):
    breaks, complaint = SYSU_FAULTS[fault]
    breaks(sysu)
    with pytest.raises(UserError, match=complaint):
        prepare_sysu(sysu)
    assert not any((sysu / name).exists() for name in COPIES) and not list(sysu.glob(".*"))


def add_line(path, line):
    with path.open("a") as file:
        file.write(line + "\n")


def clash(root):
    write_image(root / "Visible" / "99" / "v_001 0.bmp", 0)
    for trial_list in (root / "idx").glob("train_visible_*.txt"):
        trial_list.write_text("Visible/99/v_001 0.bmp 0\nVisible/1/v_001 0.bmp 0\n")
    for trial_list in (root / "idx").glob("test_visible_*.txt"):
        trial_list.write_text("Visible/2/v_002 0.bmp 0\n")


REGDB_FAULTS = {
    "no lists": (lambda root: shutil.rmtree(root / "idx"), r"no list such as .*train_visible_1\.txt"),
    "one list gone": (lambda root: (root / "idx" / "test_thermal_4.txt").unlink(), r"no such file: .*test_thermal_4"),
    "absent image": (
        lambda root: add_line(root / "idx" / "train_visible_2.txt", "Visible/1/no.bmp 0"),
        r"train_visible_2\.txt, line 5: no such file: .*no\.bmp",
    ),
    "person in both": (
        lambda root: shutil.copy(root / "idx" / "train_thermal_3.txt", root / "idx" / "test_thermal_3.txt"),
        r"trial 3 has persons both in training and in test: Thermal.\d, Thermal.\d$",
    ),
    "one name for two": (clash, r"would both become 1.bounding_box_train.0000_c1_v_001 0\.bmp"),
    "bad image": (
        lambda root: (root / "Thermal" / "1" / "t_001 0.bmp").write_bytes(b"BM\0\0"),
        r"t_001 0\.bmp: cannot be read as an image \(.*, 4 bytes\)",
    ),
}


@pytest.mark.parametrize("fault", REGDB_FAULTS)
def test_regdb_faults(regdb, fault):
    breaks, complaint = REGDB_FAULTS[fault]
    breaks(regdb)
    with pytest.raises(UserError, match=complaint):
        prepare_regdb(regdb)
    assert not any((regdb / name).exists() for name in COPIES) and not list(regdb.glob(".*"))


@pytest.mark.parametrize(("script", "make"), [("prepare_sysu.py", sysu_tree), ("prepare_regdb.py", regdb_tree)])
def test_scripts(tmp_path, script, make):
    root = make(tmp_path / "set")
    done = call(script, "--data-dir", root)
    assert done.stderr == ""
    assert "real set" in done.stdout and "warning: not the full" in done.stdout
    assert all((root / name).is_dir() for name in COPIES)

    wrong = call(script, "--data-dir", tmp_path / "absent", check=False)
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert wrong.stderr == f"error: no such folder: {tmp_path / 'absent'} (--data-dir)\n"
