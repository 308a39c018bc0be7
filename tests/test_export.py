"""`tokenmatcher export` and `tokenmatcher calibrate`, and what their files are for, as a user does it."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from runs import CAMERA, SMALL, refused
from scripts import ENVIRONMENT, ROOT, call

from tokenmatcher import TokenMatcher
from tokenmatcher.commands import export
from tokenmatcher.errors import UserError
from tokenmatcher.models.digest import digest_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(sysu, tmp_path_factory):
    """A checkpoint with scores."""
    logs = tmp_path_factory.mktemp("logs")
    call("train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, *SMALL, *CAMERA, "--stages", "1")
    return logs / "stage1" / "last.pt"


@pytest.fixture(scope="module")
def pictures(sysu):
    return sorted(sysu.glob("cam3/*/*.jpg"))[:5]


def test_onnx_embeds_without_pytorch(trained, pictures, tmp_path):
    out = tmp_path / "exported"
    said = call("-m", "tokenmatcher", "export", "--checkpoint", trained, "--format", "onnx", "-o", out).stdout
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "infrared.onnx", "visible.onnx"]
    assert "infrared.onnx" in said
    code = (
        f"import sys, runpy; sys.modules['torch'] = None; sys.argv = {['x', str(out), 'infrared', *map(str, pictures)]}"
    )
    example = f"{code}; found = runpy.run_path('examples/onnx_embed.py', run_name='__main__')['found']"
    save = f"import numpy; numpy.save({str(tmp_path / 'found.npy')!r}, found)"
    done = subprocess.run(
        [sys.executable, "-c", f"{example}; {save}"], cwd=ROOT, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    expected = TokenMatcher.from_checkpoint(trained, device="cpu").embed(pictures, "infrared")
    assert np.allclose(np.load(tmp_path / "found.npy"), expected.numpy(), atol=1e-4)


def test_a_tracker_is_fed(trained, tmp_path):
    done = call("examples/tracker.py", trained)
    assert "(3, " in done.stdout


def test_safetensors_are_tested_and_searched_again(trained, sysu, tmp_path):
    out = tmp_path / "weights"
    done = call("-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--data-dir", sysu, "--draws", 5)
    assert done.stderr == "", "no progress bars in a pipe"
    call("-m", "tokenmatcher", "export", "--checkpoint", trained, "--format", "safetensors", "-o", out)
    files = sorted(path.name for path in out.iterdir())
    assert files == ["README.md", "model.safetensors", "model.threshold.json"]
    scores = {}
    for name, path in (("pt", trained), ("safetensors", out / "model.safetensors")):
        json_file = tmp_path / f"{name}.json"
        call("test_sysu.py", "--resume", path, "--data-dir", sysu, "--json", json_file, "--no-progress")
        scores[name] = json.loads(json_file.read_text())["sysu"]
    assert scores["pt"] == scores["safetensors"]
    card = (out / "README.md").read_text()
    assert f"{100 * scores['pt']['all']['rank1']:.2f}" in card and "visible-infrared | 0.1 |" in card
    assert "serves for testing only" in refused(
        "train_sysu.py",
        "--data-dir",
        sysu,
        "--logs-dir",
        tmp_path / "on",
        "--resume",
        out / "model.safetensors",
        *SMALL,
    )


def test_calibration_by_identities(trained, sysu, tmp_path):
    path = tmp_path / "threshold.json"
    done = call(
        "-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--data-dir", sysu, "-o", path, "--draws", 20,
        "--false-accept", 0.2, 0.0001, "--no-progress",
    )  # fmt: skip
    found = json.loads(path.read_text())
    assert found["source"] == "identities of the test images" and "identities of the test" in done.stdout
    for name, pair in found["pairs"].items():
        (point,) = pair["points"]
        assert point["false_accept"] == 0.2 and point["low"] <= point["threshold"] <= point["high"]
        assert f"{name}: {pair['impostor']} impostor pairs are too few for 0.0001" in done.stdout
    assert "visible-infrared" in found["pairs"]
    again = tmp_path / "again.json"
    call("-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--data-dir", sysu, "-o", again, "--draws", 20,
         "--false-accept", 0.2, 0.0001, "--no-progress")  # fmt: skip
    assert again.read_bytes() == path.read_bytes()


def test_calibration_by_pseudo_labels(trained, sysu, tmp_path):
    """A table without identities beside links to the pictures."""
    (tmp_path / "pictures").symlink_to(sysu, target_is_directory=True)
    kinds = dict.fromkeys(("cam3", "cam6"), "infrared")
    rows = [
        f"pictures/{path.relative_to(sysu)},{path.parts[-3]},{kinds.get(path.parts[-3], 'visible')}"
        for path in sorted(sysu.glob("cam[1-6]/????/????.jpg"))
    ]
    table = tmp_path / "own.csv"
    table.write_text("\n".join(["path,camera,modality", *rows]) + "\n")
    path = tmp_path / "threshold.json"
    done = call(
        "-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--dataset", table, "-o", path, "--draws", 5,
        "--false-accept", 0.2, "--no-progress",
    )  # fmt: skip
    assert "pseudo labels" in done.stdout and "better than they are" in done.stdout
    assert json.loads(path.read_text())["source"] == "pseudo labels of the training images"


def test_packages_that_are_missing_are_named(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None if name.startswith("onnx") else find_spec(name))
    with pytest.raises(UserError, match=r'onnx: needs onnx, onnxscript, onnxruntime: pip install "\.\[export\]"'):
        export.main(["--checkpoint", str(trained), "--format", "onnx", "-o", str(tmp_path / "out")])
    assert not list(tmp_path.iterdir())


def test_bad_input_is_told_in_one_line(trained, sysu, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/README.md").write_text("my own words")
    export = ["-m", "tokenmatcher", "export", "--format", "onnx"]
    for words, message in (
        ([*export, "--checkpoint", tmp_path / "no.pt", "-o", out], "no.pt: no such file"),
        ([*export, "--checkpoint", tmp_path / "file", "-o", out], "file: not a PyTorch file"),
        ([*export, "--checkpoint", trained, "-o", tmp_path / "file"], "is no folder"),
        (["-m", "tokenmatcher", "export", "--checkpoint", trained, "-o", out], "--format"),
        ([*export, "--checkpoint", trained, "-o", tmp_path / "mine"], "its README.md is no model card"),
        (
            [*export, "--checkpoint", trained, "-o", out, "--format", "safetensors", "--no-mirror"],
            "--no-mirror are for",
        ),
        (["-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--data-dir", tmp_path], str(tmp_path)),
        (["-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--false-accept", 2], "--false-accept"),
        (["-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--images", 1], "--images must be at least 2"),
        (["-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--trial", 3, "--data-dir", sysu], "--trial"),
        (["-m", "tokenmatcher", "calibrate", "--checkpoint", trained, "--dataset", "x"], "x: no such data set"),
    ):
        assert message in refused(*words)
    assert not out.exists()
    assert (tmp_path / "mine/README.md").read_text() == "my own words"
    content = torch.load(trained, weights_only=True)
    content |= {"dataset": "regdb", "trial": 2}
    content["digest"] = digest_of(content)
    torch.save(content, tmp_path / "regdb.pt")
    other = ["-m", "tokenmatcher", "calibrate", "--checkpoint", tmp_path / "regdb.pt", "--trial", 3]
    assert "trained on trial 2" in refused(*other), "as the test refuses it"
    for odd, command, message in (
        ({"scores": {"all": 3}}, [*export, "-o", out], "its scores are not as they should be"),
        ({"dataset": []}, ["-m", "tokenmatcher", "calibrate"], "names no data set of ours"),
    ):
        content = torch.load(trained, weights_only=True) | odd
        content["digest"] = digest_of(content)
        torch.save(content, tmp_path / "odd.pt")
        assert message in refused(*command, "--checkpoint", tmp_path / "odd.pt")
    assert not out.exists()
    damaged = tmp_path / "last.pt"
    damaged.write_bytes(trained.read_bytes())
    content = torch.load(damaged, weights_only=True)
    content["model"]["vit.cls_token"] += 1
    torch.save(content, damaged)
    assert "damaged" in refused(*export, "--checkpoint", damaged, "-o", out)
