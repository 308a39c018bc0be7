"""What a calibration refuses, writes and says; the pictures are numbers by rule."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from galleries import save_checkpoint

from tests.trees import write_image
from tokenmatcher import Modality
from tokenmatcher.commands import calibrate, calibrating
from tokenmatcher.commands.sides import Measured
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.calibration import Calibration, file_beside
from tokenmatcher.evaluation.threshold import Side

VISIBLE, INFRARED = Modality


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = save_checkpoint(tmp_path_factory.mktemp("model") / "last.pt")
    file_beside(path).unlink()
    return path


def measured(count=30, people=5, left_out=False):
    numbers = np.random.default_rng(0)

    def side(cameras):
        features = torch.nn.functional.normalize(torch.randn(count, 4), dim=1)
        return Side(features, np.arange(count) % people, numbers.choice(cameras, count))

    sides = {VISIBLE: side((1, 2)), INFRARED: side((3, 6))}
    return Measured(sides, "identities of the test images", True, frozenset(), "regdb", 2, left_out)


@pytest.fixture
def run(checkpoint, monkeypatch):
    def call(*flags, **pictures):
        monkeypatch.setattr(calibrating, "sides_of", lambda *_: measured(**pictures))
        calibrate.main(["--checkpoint", str(checkpoint), *map(str, flags), "--draws", "5"])

    return call


def test_only_a_former_calibration_is_replaced(run, checkpoint, tmp_path):
    before = checkpoint.read_bytes()
    with pytest.raises(UserError, match=r"output .*last\.pt: there is a file that is no calibration"):
        run("-o", checkpoint)
    assert checkpoint.read_bytes() == before
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: is no regular file"):
        run("-o", tmp_path / "pipe")
    path = tmp_path / "found.json"
    for rate in (0.2, 0.5):
        run("-o", path, "--false-accept", rate)
        assert Calibration.read(path).threshold(VISIBLE, INFRARED, rate) is not None


def test_it_says_of_which_pictures(run, tmp_path, capsys):
    run("-o", tmp_path / "found.json", "--false-accept", 0.2, "--seed", 7)
    assert json.loads((tmp_path / "found.json").read_text())["origin"] == {
        "dataset": "regdb", "trial": 2, "images": {"visible": 30, "infrared": 30}, "draws": 5, "seed": 7,
    }  # fmt: skip
    said = "regdb, trial 2: 30 visible and 30 infrared images, 5 draws of people, seed 7"
    assert said in capsys.readouterr().out and str(Calibration.read(tmp_path / "found.json").origin) == said


def test_rates_fall_and_each_stands_once(run, tmp_path):
    run("-o", tmp_path / "found.json", "--false-accept", 0.2, 0.5, 0.5, 0.3)
    for pair in Calibration.read(tmp_path / "found.json").pairs.values():
        assert [point.false_accept for point in pair.points] == [0.5, 0.3, 0.2]


def test_what_measured_nothing_is_not_written(run, tmp_path, capsys):
    path = tmp_path / "found.json"
    run("-o", path, "--false-accept", 0.2)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"false_accept 0\.001 1e-09: \d+ impostor pairs are too few"):
        run("-o", path, "--false-accept", 1e-9, 0.001)
    with pytest.raises(UserError, match=r"2 impostor pairs are too few .*, more images give more"):
        run("-o", path, "--images", 2, count=2, left_out=True)
    assert "no two cameras see the same person in the --images 2 that were drawn, nothing" in capsys.readouterr().out
    with pytest.raises(UserError, match="images 2: too few"):
        run("-o", path, "--images", 2, count=1, left_out=True)
    with pytest.raises(UserError, match=r"last\.pt: no pair of pictures"):
        run("-o", path, count=1)
    assert "no two people are seen by two cameras, nothing to measure" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_a_full_disk_names_the_file(run, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"found\.json: cannot be written .*No space left"):
        run("-o", tmp_path / "new/folder/found.json", "--false-accept", 0.2)
    assert not list(tmp_path.iterdir())


def test_a_table_says_itself_where_its_pictures_are(checkpoint, tmp_path):
    rows = ["path,camera,modality"]
    for number, modality in enumerate(Modality):
        write_image(tmp_path / f"{modality}.png", number)
        rows.append(f"{modality}.png,{number},{modality}")
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
    words = ["--checkpoint", checkpoint, "--dataset", tmp_path / "own.csv", "--data-dir", "/nope"]
    with pytest.raises(UserError, match=r"data_dir /nope: own\.csv says itself"):
        calibrate.main(list(map(str, words)))
