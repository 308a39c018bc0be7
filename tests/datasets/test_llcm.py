import random

import numpy as np
import pytest
from scripts import call

from tests.trees import llcm_tree, strew
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.llcm import LLCM, llcm_benchmark, prepare_llcm
from tokenmatcher.errors import UserError
from tokenmatcher.people import World, write_llcm

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


@pytest.fixture
def tree(tmp_path):
    return llcm_tree(tmp_path / "llcm")


def test_training_is_what_the_lists_say(tree):
    found = LLCM().training(tree)
    for m, short in ((VISIBLE, "vis"), (INFRARED, "nir")):
        lines = (tree / "idx" / f"train_{short}.txt").read_text().splitlines()
        assert [f"{record.path.relative_to(tree)} {record.identity}" for record in found[m]] == lines
        assert all(f"_c{record.camera:02d}_" in record.path.name for record in found[m])
        assert {record.modality for record in found[m]} == {m}
    assert {record.camera for record in found[VISIBLE]} == set(range(1, 10))
    assert 3 not in {record.camera for record in found[INFRARED]}


def test_galleries_are_drawn_as_on_sysu_and_own_views_are_not_seen(tree):
    """One image of each person and camera, by a generator seeded with the trial's number."""
    strew(tree / "test_vis")
    benchmark = llcm_benchmark(tree)
    assert [protocol.name for protocol in benchmark.protocols] == ["visible-to-infrared", "infrared-to-visible"]
    for protocol, short, other in zip(benchmark.protocols, ("vis", "nir"), ("nir", "vis"), strict=True):
        assert protocol.own_camera_excluded and protocol.distinct_identities and not protocol.excluded_cameras
        folders = sorted((tree / f"test_{other}").glob("cam[0-9]/????"), key=lambda path: (path.name, path.parent.name))
        asked = {str(p.relative_to(tree)) for p in (tree / f"test_{short}").glob("cam[0-9]/????/[0-9]*.jpg")}
        assert len(protocol.trials) == 10
        for number, trial in enumerate(protocol.trials):
            generator = random.Random(number)
            expected = [generator.choice(sorted(folder.glob("[0-9]*.jpg"))) for folder in folders]
            assert [benchmark.images[row].path for row in trial.gallery] == expected
            assert {str(benchmark.images[row].path.relative_to(tree)) for row in trial.query} == asked
    (only,) = LLCM().benchmark(tree, options={"direction": "infrared-to-visible"}).protocols
    assert only.name == "infrared-to-visible"
    np.testing.assert_array_equal(
        benchmark.cameras[only.trials[0].query], [r.camera for r in (benchmark.images[i] for i in only.trials[0].query)]
    )


def test_counts_stand_beside_the_real_ones(tree):
    before = sorted(tree.rglob("*"))
    summary = prepare_llcm(tree)
    assert sorted(tree.rglob("*")) == before
    assert summary["training ids"] == 3
    assert "16,946" in summary.table() and "351" in summary.table()
    assert "warning: not the full LLCM" in summary.table()


def bad_camera(tree):
    path = tree / "idx/train_vis.txt"
    first = path.read_text().split(" ")[0]
    renamed = first.replace("_c", "_k")
    (tree / first).rename(tree / renamed)
    path.write_text(path.read_text().replace(first, renamed))


def shared_id(tree):
    (tree / "idx/test_id.txt").write_text("1,4,5\n")


def no_night(tree):
    (tree / "test_nir").rename(tree / "elsewhere")


def damaged(tree):
    victim = next((tree / "test_nir").rglob("*.jpg"))
    victim.write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (bad_camera, r"train_vis\.txt: the name of .* does not say its camera"),
        (shared_id, r"ids both of training and of test: 1"),
        (no_night, r"no infrared image of the test ids in .*test_nir"),
        (damaged, r"cam\d/000\d"),
        (lambda tree: (tree / "idx/train_nir.txt").unlink(), r"no such file: .*train_nir\.txt"),
        (lambda tree: (tree / "idx/train_nir.txt").write_text("../a.jpg 3\n"), "leads out of the data folder"),
        (lambda tree: (tree / "idx/test_id.txt").write_text("x\n"), "is not an identity number"),
    ],
)
def test_bad_trees(tree, harm, message):
    harm(tree)
    with pytest.raises(UserError, match=message):
        prepare_llcm(tree)


def test_rendered_people_are_such_a_tree(tmp_path):
    world = World(seed=5, height=64, width=24)
    written = write_llcm(tmp_path / "llcm", world, train_ids=3, test_ids=2, shots=2, progress=False)
    assert not written.reused
    summary = prepare_llcm(tmp_path / "llcm")
    assert (summary["training ids"], summary["test ids"]) == (3, 2)
    total = summary["visible training images"] + summary["visible test images"]
    assert total == written.visible == 5 * 4 * 2
    assert written.infrared <= written.visible
    assert write_llcm(tmp_path / "llcm", world, train_ids=3, test_ids=2, shots=2, progress=False).reused
    done = call("-m", "tokenmatcher", "prepare", "llcm", "--data-dir", tmp_path / "llcm")
    assert "LLCM in" in done.stdout
