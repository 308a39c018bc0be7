"""The examples run, and the documents show what they are."""

import runpy
from pathlib import Path
from xml.etree import ElementTree

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
