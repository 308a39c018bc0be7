from logged import epochs_of, write_run

from tokenmatcher.inspection.folder import read_runs
from tokenmatcher.inspection.page.top import head_of
from tokenmatcher.inspection.scores import BEST, HERE, Row, score_rows


def test_the_numbers_that_people_look_for(tmp_path):
    runs = read_runs([write_run(tmp_path / "run", run={"method": "pgm"})])
    rows = [*score_rows(runs), Row("run", "stage 2 epoch 0", BEST, "all", {"rank1": 0.75})]
    tiles = {tile.name: (tile.value, tile.remark) for tile in head_of(runs, "t", None, rows).tiles}
    assert tiles["rank-1, all, stage 2 epoch 1"] == ("50.0 %", "published: 57.3"), "of its own method"
    assert tiles["rank-1, all, best of the last stage on the test set"][0] == "75.0 %"
    assert tiles["clusters, visible / infrared, last epoch"] == ("10 / 8", "ARI 0.50 / 0.50")


def test_a_run_that_was_never_tested_has_the_pages_own_score(tmp_path):
    lines = [{name: value for name, value in line.items() if name != "scores"} for line in epochs_of()]
    runs = read_runs([write_run(tmp_path / "run", lines)])
    rows = [*score_rows(runs), Row("run", "stage 2 epoch 1", HERE, "all", {"rank1": 0.25, "mAP": 0.125})]
    tiles = {tile.name: tile.value for tile in head_of(runs, "t", None, rows).tiles}
    assert tiles["rank-1, all, stage 2 epoch 1"] == "25.0 %"
