import numpy as np
import pytest
import torch
from logged import SCORES, epochs_of, write_run

from tokenmatcher.doors import METHODS, find_method
from tokenmatcher.inspection.folder import read_runs
from tokenmatcher.inspection.scores import BEST, LAST, MEAN, PAPER, score_rows


def test_last_and_best_are_told_apart_and_the_published_line_is_there(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "stage2").mkdir()
    (folder / "stage2/last.pt").touch()
    content = {"note": "stage 2 epoch 0, best on the test set so far", "scores": {"all": {**SCORES, "rank1": 0.75}}}
    torch.save(content, folder / "stage2/best.pt")
    rows = score_rows(read_runs([folder]))
    assert [(row.kind, row.model, row.protocol) for row in rows] == [
        (PAPER, "tokenmatcher, published (the authors' figures)", "all"), (LAST, "stage 2 epoch 1", "all"),
        (BEST, "stage 2 epoch 0", "all"),
    ]  # fmt: skip
    published, last, best = rows
    assert published.values == {"rank1": 0.6507, "mAP": 0.6279}
    assert (last.values["rank1"], best.values["rank1"]) == (0.5, 0.75)
    assert last.spread("rank1") == pytest.approx(np.std([0.4, 0.6]))
    assert best.spread("rank1") is None and published.spread("rank1") is None


def test_the_mean_over_trials_is_of_each_ones_last_stage(tmp_path):
    for trial, rank1 in ((1, 0.2), (2, 0.6)):
        lines = epochs_of()
        lines[-1]["scores"] = {"visible-to-infrared": {**SCORES, "rank1": rank1}}
        lines[0]["scores"] = {"visible-to-infrared": {**SCORES, "rank1": 0.9}}
        write_run(tmp_path / "regdb" / f"trial_{trial}", lines, run={"dataset": "regdb", "trial": trial})
    runs = read_runs([tmp_path / "regdb"])
    (mean,) = [row for row in score_rows(runs) if row.kind == MEAN]
    assert mean.values["rank1"] == pytest.approx(0.4)
    assert mean.spread("rank1") == pytest.approx(0.2)
    assert "2 trials" in mean.model
    assert not [row for row in score_rows(runs[:1]) if row.kind == MEAN]


def test_a_run_that_was_never_tested(tmp_path):
    lines = [{key: value for key, value in line.items() if key != "scores"} for line in epochs_of()]
    assert {row.kind for row in score_rows(read_runs([write_run(tmp_path / "run", lines)]))} == {PAPER}
    own = write_run(tmp_path / "own", lines, run={"dataset": "own"})
    assert score_rows(read_runs([own])) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
def test_the_published_line_is_the_methods_own(tmp_path, method, dataset):
    folder = write_run(tmp_path / "run", run={"method": method, "dataset": dataset})
    published = [row for row in score_rows(read_runs([folder])) if row.kind == PAPER]
    assert {row.method for row in published} == {method}
    for metric in ("rank1", "mAP"):
        assert f"{100 * published[0].values[metric]:.2f}" in find_method(method).published[dataset]


def test_each_method_has_its_line_once(tmp_path):
    runs = read_runs([write_run(tmp_path / f"{n}", run={"method": m}) for n, m in enumerate(("pgm", "sdcl", "pgm"))])
    lines = [
        (row.model, row.values["rank1"]) for row in score_rows(runs) if row.kind == PAPER and row.protocol == "all"
    ]
    assert lines == [
        ("pgm, published (the authors' figures)", 0.5727), ("sdcl, published (the authors' figures)", 0.6529),
    ]  # fmt: skip
