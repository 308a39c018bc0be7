"""What an export leaves, replaces and refuses; graphs are stand-ins."""

import errno
import json
import os
from pathlib import Path

import pytest
from galleries import save_checkpoint

from tokenmatcher.commands import export, exporting
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.calibration import file_beside
from tokenmatcher.export.card import MARK
from tokenmatcher.files import only_one

NAMES = ["README.md", "model.safetensors", "model.threshold.json"]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("model") / "last.pt")


@pytest.fixture
def uncalibrated(calibrated, tmp_path):
    path = tmp_path / "copy" / "last.pt"
    path.parent.mkdir()
    path.write_bytes(calibrated.read_bytes())
    return path


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    def write(_embedder, path, *_):
        path.write_bytes(b"graph")
        return 0.0

    monkeypatch.setattr(exporting, "WRITERS", dict.fromkeys(("onnx", "torch"), write))


def run(checkpoint, out, *flags, kind="safetensors"):
    export.main(["--checkpoint", str(checkpoint), "--format", kind, "-o", str(out), *flags])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_threshold_of_a_former_model_goes(calibrated, tmp_path):
    out, other = tmp_path / "out", save_checkpoint(tmp_path / "other.pt", seed=1)
    file_beside(other).unlink()
    run(calibrated, out)
    assert names(out) == NAMES
    run(other, out)
    assert names(out) == NAMES[:2] and "Not calibrated" in (out / "README.md").read_text()


def test_the_threshold_of_the_same_weights_stays(calibrated, uncalibrated, tmp_path):
    run(calibrated, tmp_path / "out")
    run(uncalibrated, tmp_path / "out")
    assert names(tmp_path / "out") == NAMES
    assert "| visible-infrared | 0.01 |" in (tmp_path / "out/README.md").read_text()


def test_all_places_are_looked_at_before_anything_is_replaced(calibrated, tmp_path):
    out = tmp_path / "out"
    (out / "model.safetensors").mkdir(parents=True)
    (out / "README.md").write_text(f"{MARK}something else")
    with pytest.raises(UserError, match=r"its model\.safetensors is a folder"):
        run(calibrated, out)
    assert (out / "README.md").read_text() == f"{MARK}something else"


def test_a_card_is_moved_last(calibrated, tmp_path, capsys):
    run(calibrated, tmp_path / "out")
    assert capsys.readouterr().out.splitlines()[-1].endswith("README.md")


def test_a_folder_holds_one_export(calibrated, tmp_path):
    run(calibrated, tmp_path / "out", kind="onnx")
    before = (tmp_path / "out/README.md").read_bytes()
    for kind in ("torch", "safetensors"):
        with pytest.raises(UserError, match="holds an export to onnx"):
            run(calibrated, tmp_path / "out", kind=kind)
    assert (tmp_path / "out/README.md").read_bytes() == before
    run(calibrated, tmp_path / "out", kind="onnx")


def test_one_export_at_a_time_and_what_a_killed_one_left_goes(calibrated, tmp_path):
    out = tmp_path / "out"
    (out / ".being-written/files").mkdir(parents=True)
    (out / ".being-written/files/half.onnx").write_text("cut off")
    with only_one(out / ".being-written"), pytest.raises(UserError, match=r"another run writes here \(process"):
        run(calibrated, out)
    assert names(out) == [".being-written"]
    run(calibrated, out)
    assert names(out) == NAMES


def test_a_full_disk_names_the_folder_and_leaves_nothing(calibrated, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for owner, name in ((Path, "write_bytes"), (os, "write")):  # a file of the model, a line in the lock
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(UserError, match=r"output .*out.*: cannot be written to .*No space left"):
                run(calibrated, tmp_path / "new/out")
        assert not list(tmp_path.iterdir())


def test_a_licence_is_one_line_of_any_text(calibrated, tmp_path):
    with pytest.raises(UserError, match=r"license .*one line"):
        run(calibrated, tmp_path / "out", "--license", "MIT\ntags: [x]")
    assert not list(tmp_path.iterdir())
    odd = 'it\'s "free" | ü: # \\'
    run(calibrated, tmp_path / "out", "--license", odd)
    card = (tmp_path / "out/README.md").read_text().splitlines()
    (line,) = (line for line in card if line.startswith("license_name: "))
    assert json.loads(line.removeprefix("license_name: ")) == odd, "JSON is YAML"
    assert '| licence | it\'s "free" \\| ü: # \\ |' in card
