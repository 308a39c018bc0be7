"""The examples run, and the documents show what they are."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tokenmatcher.cli import run

ROOT = Path(__file__).parents[1]


def test_the_documents_show_the_example():
    code = (ROOT / "examples/from_python.py").read_text().split('"""\n', 2)[-1].strip()
    assert code in (ROOT / "docs/python.md").read_text()


@pytest.mark.slow
def test_the_example_runs(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = runpy.run_path("examples/from_python.py")
    assert 0 < values["scores"].rank1 <= 1
    assert values["match"].num_rows >= values["match"].num_columns >= 1
    assert "demo_vit.pth" in capsys.readouterr().out


def test_a_tracker_is_found_as_a_script_and_says_what_it_lacks(capsys, monkeypatch):
    path = ROOT / "examples/tracker.py"
    monkeypatch.setattr("sys.path", [place for place in sys.path if Path(place).resolve() != ROOT])
    monkeypatch.setattr("sys.argv", [str(path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert str(ROOT) in sys.path and ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: the following arguments are required: checkpoint")


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_either_graph_is_served(kind, tmp_path, monkeypatch):
    """By a stand-in for onnxruntime that gives the mean of what it gets."""
    shape = ["batch", 3, 8, 4]

    def run(_names, given):
        images = given["images"]
        assert images.shape == (1, *shape[1:]) and images.dtype == {"uint8": np.uint8, "float": np.float32}[kind]
        return [images.mean((1, 2, 3))[:, None]]

    place = SimpleNamespace(name="images", shape=shape, type=f"tensor({kind})")
    session = SimpleNamespace(get_inputs=lambda: [place], run=run)
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=lambda *_, **__: session))
    Image.new("RGB", (9, 9), (51, 51, 51)).save(tmp_path / "a.png")
    monkeypatch.setattr("sys.argv", ["x", "exported", "visible", str(tmp_path / "a.png")])
    found = runpy.run_path(str(ROOT / "examples/onnx_embed.py"))["found"]
    assert found[0, 0] == pytest.approx({"uint8": 51, "float": 0.2}[kind], rel=1e-5)
    monkeypatch.setattr("sys.argv", ["x", "exported", "visible"])
    with pytest.raises(SystemExit, match="usage: "):
        runpy.run_path(str(ROOT / "examples/onnx_embed.py"))


def test_figures(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["figures.py", "--out", str(tmp_path)])
    figures = runpy.run_path(str(ROOT / "examples/figures.py"))
    with pytest.raises(SystemExit) as ended:
        run(figures["main"])
    assert ended.value.code == 0
    assert ElementTree.parse(tmp_path / "pipeline.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "pipeline.svg").read_bytes() == (ROOT / "examples/pipeline.svg").read_bytes()
    with Image.open(tmp_path / "people.png") as made, Image.open(ROOT / "examples/people.png") as kept:
        assert made.size == kept.size
