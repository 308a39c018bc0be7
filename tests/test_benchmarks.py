"""Benchmarks can be begun: what they import is there. Most take longer than a suite may."""

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = [path.stem for path in sorted((ROOT / "benchmarks").glob("*.py")) if path.stem != "__init__"]


@pytest.mark.parametrize("name", NAMES, ids=[f"benchmarks.{name}" for name in NAMES])  # "gpu" alone is a mark
def test_it_can_be_begun(name, capsys, monkeypatch):
    module = import_module(f"benchmarks.{name}")
    if not hasattr(module, "main"):
        return
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    assert "--out" in capsys.readouterr().out
