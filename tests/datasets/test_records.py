import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trees import regdb_tree, strew, sysu_tree, write_image
from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets import find_dataset
from tokenmatcher.datasets.files import image_files, read_ids
from tokenmatcher.datasets.regdb import RegDB, prepare_regdb, read_regdb_list
from tokenmatcher.datasets.sysu import Sysu, prepare_sysu, sysu_images, sysu_modality
from tokenmatcher.errors import UserError

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


def test_image_files_are_sorted_and_strays_passed_over(tmp_path):
    for name in ("0002.jpg", "0010.JPG", "0001.bmp", "b.Png", "a.jpeg"):
        write_image(tmp_path / name, 0)
    strew(tmp_path)
    (tmp_path / "0003.gif").write_bytes(b"")
    assert [path.name for path in image_files(tmp_path)] == ["0001.bmp", "0002.jpg", "0010.JPG", "a.jpeg", "b.Png"]


def test_image_files_of_no_folder(tmp_path):
    assert image_files(tmp_path / "absent") == []
    (tmp_path / "file").write_text("")
    assert image_files(tmp_path / "file") == []


def test_sysu_images_take_cameras_in_the_order_given(tmp_path):
    for camera in (1, 2, 3):
        write_image(tmp_path / f"cam{camera}" / "0005" / "0001.jpg", camera)
    assert sysu_images(tmp_path, 5, (3, 4, 1)) == [
        ImageRecord(tmp_path / "cam3" / "0005" / "0001.jpg", INFRARED, 3, 5),
        ImageRecord(tmp_path / "cam1" / "0005" / "0001.jpg", VISIBLE, 1, 5),
    ]


def test_modality_of_each_sysu_camera():
    assert [sysu_modality(camera) for camera in range(1, 7)] == [VISIBLE, VISIBLE, INFRARED, VISIBLE, VISIBLE, INFRARED]


def test_training_images_of_sysu(tmp_path):
    root = sysu_tree(tmp_path / "sysu")
    prepare_sysu(root)
    strew(root)
    records = Sysu().training(root)
    for modality, cameras in ((VISIBLE, (1, 2, 4, 5)), (INFRARED, (3, 6))):
        found = records[modality]
        assert found == sorted(found, key=lambda record: record.path.name)
        assert {record.modality for record in found} == {modality}
        expected = sorted((r.identity, r.camera, r.path.name) for i in (1, 4, 7) for r in sysu_images(root, i, cameras))
        assert [(r.identity, r.camera, r.path.name.split("_", 2)[2]) for r in found] == expected


def test_training_images_of_regdb(tmp_path):
    root = regdb_tree(tmp_path / "regdb")
    prepare_regdb(root)
    for trial in (1, 10):
        records = RegDB().training(root, trial)
        for modality in Modality:
            listed = read_regdb_list(root, "train", modality, trial)
            expected = sorted((record.identity, record.path.name) for record in listed)
            found = [(record.identity, record.path.name.split("_", 2)[2]) for record in records[modality]]
            assert found == expected
            assert {record.camera for record in records[modality]} == {1}


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
def test_missing_copy_says_how_to_make_it(tmp_path, dataset):
    trial = 2 if dataset == "regdb" else None
    with pytest.raises(UserError, match=rf"rgb_modify.*python prepare_{dataset}\.py --data-dir {tmp_path}"):
        find_dataset(dataset).training(tmp_path, trial)


@pytest.mark.parametrize(("emptied", "modality"), [("rgb_modify", "visible"), ("ir_modify", "infrared")])
def test_a_modality_without_images(tmp_path, emptied, modality):
    prepare_sysu(sysu_tree(tmp_path / "sysu"))
    folder = tmp_path / "sysu" / emptied / "bounding_box_train"
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=f"no {modality} training image in {folder}"):
        Sysu().training(tmp_path / "sysu")


def test_image_in_the_wrong_modality(tmp_path):
    for name in ("rgb_modify", "ir_modify"):
        write_image(tmp_path / name / "bounding_box_train" / "0001_c3_0001.jpg", 0)
    with pytest.raises(UserError, match=r"rgb_modify.*camera 3, but visible cameras are 1, 2, 4, 5"):
        Sysu().training(tmp_path)


def test_trials_that_do_not_fit_the_data_set(tmp_path):
    with pytest.raises(UserError, match="no trials"):
        Sysu().training(tmp_path, 1)
    for trial in (None, 0, 11):
        with pytest.raises(UserError, match=r"trial must lie in 1\.\.10"):
            RegDB().training(tmp_path, trial)


def test_an_unknown_data_set():
    with pytest.raises(
        UserError, match=r"market: no such data set; there are sysu, regdb, llcm, or give a CSV or Python file"
    ):
        find_dataset("market")


def test_training_without_the_data_folder(tmp_path):
    with pytest.raises(UserError, match=r"no such folder: .*absent \(data_dir\)"):
        Sysu().training(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (b"1,2,3\n", [1, 2, 3]),
        (b"\xef\xbb\xbf3, 1 ,2,\r\n", [1, 2, 3]),
        (b"0005,,12,\n\n7\n7", [5, 7, 12]),
        (b"4 9\t2", [2, 4, 9]),
        (b"", []),
    ],
)
def test_id_lists_are_read_with_tolerance(tmp_path, content, ids):
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    assert read_ids(path) == ids


@pytest.mark.parametrize("entry", ["x7", "-3", "1.5", "1;2", "٣", "9" * 5000])
def test_id_list_with_something_else(tmp_path, entry):
    path = tmp_path / "train_id.txt"
    path.write_text(f"1,{entry},2", encoding="utf-8")
    with pytest.raises(UserError, match=rf"train_id\.txt: '{entry[:40]}' is not an identity number"):
        read_ids(path)


def test_id_list_that_is_no_text_or_not_there(tmp_path):
    (tmp_path / "ids.txt").write_bytes("1,2".encode("utf-16"))
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_ids(tmp_path / "ids.txt")
    with pytest.raises(UserError, match=r"no such file: .*absent\.txt"):
        read_ids(tmp_path / "absent.txt")
    with pytest.raises(UserError, match="cannot read"):
        read_ids(tmp_path)


def regdb_list_of(root, content):
    (root / "idx").mkdir(exist_ok=True)
    (root / "idx" / "test_thermal_3.txt").write_bytes(content.encode())
    return read_regdb_list(root, "test", INFRARED, 3)


def test_regdb_list_keeps_its_order_and_blanks_in_paths(tmp_path):
    for name in ("Thermal/1/a b 1.bmp", "Thermal/2/c.bmp"):
        write_image(tmp_path / name, 0)
    found = regdb_list_of(tmp_path, "\ufeffThermal/2/c.bmp 5\r\n\r\nThermal/1/a b 1.bmp \t 0\r\n")
    assert found == [
        ImageRecord(tmp_path / "Thermal/2/c.bmp", INFRARED, 1, 5),
        ImageRecord(tmp_path / "Thermal/1/a b 1.bmp", INFRARED, 1, 0),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("Thermal/1/b.bmp 0", r"line 2: no such file: .*b\.bmp"),
        ("Thermal/1 0", "line 2: no such file"),
        (f"{'x' * 5000}.bmp 0", "line 2: no such file"),
        ("../Thermal/1/a.bmp 0", "line 2: .* leads out of the data folder"),
        ("Thermal/../Thermal/1/a.bmp 0", "line 2: .* leads out of the data folder"),
        ("/etc/passwd 0", "line 2: .* leads out of the data folder"),
        (r"..\a.bmp 0", "line 2: .* leads out of the data folder"),
        (r"C:\a.bmp 0", "line 2: .* leads out of the data folder"),
        ("Thermal/1/a.bmp", "line 2: .* is not '<relative path> <label>'"),
        ("Thermal/1/a.bmp one", "line 2: .* is not '<relative path> <label>'"),
        ("17", "line 2: .* is not '<relative path> <label>'"),
        ("Thermal/1/./a.bmp 0", "line 2: .* is listed twice"),
    ],
)
def test_regdb_list_with_a_wrong_line(tmp_path, line, complaint):
    write_image(tmp_path / "Thermal/1/a.bmp", 0)
    with pytest.raises(UserError, match=rf"test_thermal_3\.txt, {complaint}"):
        regdb_list_of(tmp_path, f"Thermal/1/a.bmp 0\n{line}\n")


def test_empty_regdb_list(tmp_path):
    with pytest.raises(UserError, match="lists no image"):
        regdb_list_of(tmp_path, "\n \n")


SEPARATORS = st.text(alphabet=", \t\r\n", min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(
    ids=st.lists(st.integers(0, 999_999_999), max_size=8),
    between=st.lists(SEPARATORS, min_size=9, max_size=9),
    mark=st.booleans(),
)
def test_ids_are_read_however_they_are_separated(tmp_path_factory, ids, between, mark):
    path = tmp_path_factory.mktemp("ids") / "train_id.txt"
    text = "".join(gap + str(identity) for gap, identity in zip(between, ids, strict=False)) + between[-1]
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode())
    assert read_ids(path) == sorted(set(ids))


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_id_list_is_read_or_refused_by_name(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("ids") / "train_id.txt"
    path.write_bytes(content)
    try:
        ids = read_ids(path)
    except UserError as error:
        assert "train_id.txt" in str(error) and str(error).isprintable()
    else:
        assert ids == sorted(set(ids)) and all(0 <= identity < 10**9 for identity in ids)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_image_list_is_refused_by_name(tmp_path_factory, content):
    """There are no images, so that no list can be right."""
    root = tmp_path_factory.mktemp("regdb")
    (root / "idx").mkdir()
    (root / "idx" / "train_visible_1.txt").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_regdb_list(root, "train", VISIBLE, 1)
    assert "train_visible_1.txt" in str(caught.value) and str(caught.value).isprintable()
