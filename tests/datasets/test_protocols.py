import random

import numpy as np
import pytest

from tests.trees import TEST_IDS, regdb_tree, strew, sysu_tree
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.regdb import regdb_benchmark, regdb_test
from tokenmatcher.datasets.sysu import sysu_benchmark, sysu_gallery, sysu_queries
from tokenmatcher.errors import UserError


@pytest.fixture(scope="module")
def sysu(tmp_path_factory):
    root = sysu_tree(tmp_path_factory.mktemp("protocols") / "sysu")
    strew(root)
    # A folder without an image draws nothing.
    (root / "cam1" / "0002").mkdir(exist_ok=True)
    return root


@pytest.fixture(scope="module")
def regdb(tmp_path_factory):
    return regdb_tree(tmp_path_factory.mktemp("protocols") / "regdb")


def files_of(root, camera, identity):
    folder = root / f"cam{camera}" / f"{identity:04d}"
    return sorted(str(path) for path in folder.glob("[0-9]*.jpg")) if folder.is_dir() else []


def literal_gallery(root, mode, trial, shots):
    """The specification, word for word."""
    generator = random.Random(trial)
    drawn = []
    for identity in sorted(TEST_IDS):
        for camera in {"all": [1, 2, 4, 5], "indoor": [1, 2]}[mode]:
            files = files_of(root, camera, identity)
            if not files:
                continue
            if shots == 1:
                drawn.append((generator.choice(files), camera, identity))
            else:
                drawn += [(file, camera, identity) for file in generator.sample(files, min(10, len(files)))]
    return drawn


def as_tuples(records):
    return [(str(record.path), record.camera, record.identity) for record in records]


def test_queries(sysu):
    expected = [(file, c, i) for i in sorted(TEST_IDS) for c in (3, 6) for file in files_of(sysu, c, i)]
    assert as_tuples(sysu_queries(sysu)) == expected
    assert {record.modality for record in sysu_queries(sysu)} == {Modality.INFRARED}


@pytest.mark.parametrize("shots", [1, 10])
@pytest.mark.parametrize("mode", ["all", "indoor"])
def test_gallery_is_the_literal_draw(sysu, mode, shots):
    draws = [as_tuples(sysu_gallery(sysu, mode, trial, shots)) for trial in range(10)]
    assert draws == [literal_gallery(sysu, mode, trial, shots) for trial in range(10)]
    assert len({tuple(draw) for draw in draws}) > 1


def test_single_shot_is_the_reseeded_global_generators_draw(sysu):
    state = random.getstate()
    try:
        random.seed(3)
        folders = [files_of(sysu, camera, identity) for identity in sorted(TEST_IDS) for camera in (1, 2, 4, 5)]
        expected = [random.choice(files) for files in folders if files]
    finally:
        random.setstate(state)
    assert [str(record.path) for record in sysu_gallery(sysu, "all", 3)] == expected


def test_global_generators_are_left_alone(sysu):
    random.seed(5)
    np.random.seed(5)
    before, array_before = random.getstate(), np.random.get_state()[1].copy()
    sysu_benchmark(sysu)
    sysu_benchmark(sysu, shots=10)
    assert random.getstate() == before
    assert np.array_equal(np.random.get_state()[1], array_before)


@pytest.mark.parametrize("shots", [1, 10])
def test_sysu_benchmark_holds_each_image_once(sysu, shots):
    benchmark = sysu_benchmark(sysu, shots=shots)
    assert len(set(benchmark.images)) == len(benchmark.images)
    assert [protocol.name for protocol in benchmark.protocols] == ["all", "indoor"]
    for protocol, mode in zip(benchmark.protocols, ("all", "indoor"), strict=True):
        assert protocol.excluded_cameras == {(3, 2)} and protocol.distinct_identities
        assert len(protocol.trials) == 10
        for number, trial in enumerate(protocol.trials):
            assert [benchmark.images[i] for i in trial.query] == sysu_queries(sysu)
            assert [benchmark.images[i] for i in trial.gallery] == sysu_gallery(sysu, mode, number, shots)
    trial = benchmark.protocols[0].trials[4]
    gallery = sysu_gallery(sysu, "all", 4, shots)
    assert benchmark.identities[trial.gallery].tolist() == [record.identity for record in gallery]
    assert benchmark.cameras[trial.gallery].tolist() == [record.camera for record in gallery]


def test_regdb_directions(regdb):
    visible, thermal = regdb_test(regdb, 7)
    assert {record.modality for record in visible} == {Modality.VISIBLE}
    assert {record.modality for record in thermal} == {Modality.INFRARED}
    names = [line.rpartition(" ")[0] for line in (regdb / "idx" / "test_thermal_7.txt").read_text().splitlines()]
    assert [record.path.relative_to(regdb).as_posix() for record in thermal] == names
    benchmark = regdb_benchmark(regdb, 7)
    assert list(benchmark.images) == visible + thermal
    forward, backward = benchmark.protocols
    assert (forward.name, backward.name) == ("visible-to-infrared", "infrared-to-visible")
    assert not forward.excluded_cameras and not forward.distinct_identities
    assert [benchmark.images[i] for i in forward.trials[0].query] == visible
    assert np.array_equal(forward.trials[0].query, backward.trials[0].gallery)
    assert np.array_equal(forward.trials[0].gallery, backward.trials[0].query)


@pytest.mark.parametrize(("argument", "value"), [("mode", "outdoor"), ("trial", 10), ("trial", -1), ("shots", 5)])
def test_draws_that_the_protocol_does_not_have(sysu, argument, value):
    with pytest.raises(ValueError, match=argument):
        sysu_gallery(sysu, **{argument: value})


def test_bad_trees(tmp_path, regdb):
    with pytest.raises(UserError, match=r"no such folder: .*absent \(data_dir\)"):
        sysu_queries(tmp_path / "absent")
    with pytest.raises(UserError, match=r"no such file: .*test_id\.txt"):
        sysu_gallery(tmp_path)
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "test_id.txt").write_text("3")
    with pytest.raises(UserError, match="no infrared image of the test ids"):
        sysu_queries(tmp_path)
    with pytest.raises(UserError, match="no visible image of the test ids"):
        sysu_gallery(tmp_path)
    with pytest.raises(UserError, match=r"trial must lie in 1\.\.10"):
        regdb_test(regdb, 11)
    with pytest.raises(UserError, match=r"no such file: .*test_visible_1\.txt"):
        regdb_test(tmp_path, 1)


def test_indoor_search_without_an_indoor_image(tmp_path):
    root = sysu_tree(tmp_path / "sysu", train=(), val=(), test=(2,))
    for camera in (1, 2):
        for path in (root / f"cam{camera}").rglob("*.jpg"):
            path.unlink()
    assert sysu_gallery(root, "all")
    with pytest.raises(UserError, match="indoor-search"):
        sysu_gallery(root, "indoor")
