"""Benchmarks can be begun: what they import is there. Most take longer than a suite may."""

import json
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from tokenmatcher.errors import UserError

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


def test_a_seed_of_the_methods_is_put_together(tmp_path, monkeypatch):
    """From what runs leave; the one before stage 2 has no scores, and its seconds are TokenMatcher's, too."""
    methods = import_module("benchmarks.methods")
    logs = methods.folder(tmp_path, methods.BEFORE_MATCHING, 1)

    def train(work, _data, run, seed, before, _flags):
        if before is not None:
            before.result()
        own = methods.folder(work, run.name, seed)
        (own / "stage2").mkdir(parents=True)
        (own / "stage2/last.pt").touch()
        record = {
            "seconds": {"train": 2.0, "labels": 1.0},
            "labels": {"visible": {"ari": 0.5}, "infrared": {"ari": 0.7}},
            "match": {"right": 0.4},
        }
        (own / "log.jsonl").write_text(2 * (json.dumps(record) + "\n"))

    found_scores = {protocol: dict.fromkeys(("rank1", "mAP", "mINP"), 0.3) for protocol in methods.PROTOCOLS}
    monkeypatch.setattr(methods, "train", train)
    monkeypatch.setattr(
        methods.checkpoint, "read", lambda path: {"scores": None if path.is_relative_to(logs) else found_scores}
    )
    given = Namespace(work=tmp_path, jobs=2, flags="")
    found = methods.seed_of_runs(1, given, tmp_path)
    assert set(found) == {run.name for run in methods.planned()} - {methods.BEFORE_MATCHING}
    assert (found["pgm"]["seconds"], found["tokenmatcher, greedy"]["seconds"]) == (6, 12)
    assert methods.cells([found["pgm"]], [0.5]) == ["30.0", "30.0", "30.0", "30.0", "0.60", "0.40", "-", "0.50"]
    assert methods.cells([found["pgm"]] * 2, [0.5, 0.6])[0] == "30.0 ± 0.0"


def test_neighbours_that_differ_by_more_than_rounding_are_found():
    field = import_module("benchmarks.field")
    random = torch.Generator().manual_seed(0)
    both = [torch.nn.functional.normalize(torch.randn(count, 32, generator=random) + 8, dim=1) for count in (40, 30)]
    ours, dense = (way(*both, None) for way in field.PARTS["tokenmatcher"]["neighbours"])
    assert ours.shape == (2, 2 * 70) and ours[0].sum() > 2 * 70
    assert field.neighbours_by_rounding(*both, None, ours, dense) == 1
    wrong = dense.copy()
    wrong[0, 3] += 1
    assert field.neighbours_by_rounding(*both, None, ours, wrong) == 1 - 1 / (2 * 70)


def test_runs_of_other_numbers_are_not_taken_for_these(tmp_path):
    machine = import_module("benchmarks.machine")
    for _ in range(2):
        machine.claim(tmp_path / "work", {"recipe": 1})
    with pytest.raises(UserError, match="other numbers or flags"):
        machine.claim(tmp_path / "work", {"recipe": 2})
    (tmp_path / "old").mkdir()
    (tmp_path / "old/run").touch()
    with pytest.raises(UserError, match="do not say with which numbers"):
        machine.claim(tmp_path / "old", {"recipe": 1})
