import json

import pytest

from tokenmatcher.errors import UserError
from tokenmatcher.report.log import RunLog, summary
from tokenmatcher.report.tables import score_table, table

ENTRY = {
    "stage": "2",
    "epoch": 3,
    "labels": {"visible": {"clusters": 9, "outliers": 1, "ari": 0.5, "nmi": 0.7}},
    "match": {"ratio": 2.5, "capacity": 3, "raised": True, "matched_columns": 1.0, "fused_pairs": 2, "right": 0.25},
    "neighbours": {"vis-inf": {"per_image": 0.0, "precision": float("nan")}},
    "losses": {"visible": 1.25, "total": 2.5},
    "images_per_second": 99.6,
    "scores": {"all": {"rank1": 0.5, "mAP": 0.25}},
}


def test_a_line_for_people_and_one_for_programs(tmp_path, capsys):
    log = RunLog(tmp_path / "run")
    log.epoch(ENTRY)
    line = capsys.readouterr().out.strip()
    assert "\n" not in line
    for part in (
        "stage 2 epoch  3",
        "9 clusters",
        "capacity raised to 3",
        "total 2.500",
        "100 images/s",
        "rank-1 50.0",
    ):
        assert part in line
    (entry,) = [json.loads(text) for text in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert entry["neighbours"]["vis-inf"]["precision"] is None
    assert entry["losses"] == ENTRY["losses"]
    assert (tmp_path / "run/log.txt").read_text().strip() == line == summary(ENTRY)


def test_cutting_back(tmp_path):
    log = RunLog(tmp_path)
    log.epoch(ENTRY)
    position = log.position()
    log.epoch({**ENTRY, "epoch": 4})
    log.cut(position)
    log.epoch({**ENTRY, "epoch": 5})
    assert [json.loads(text)["epoch"] for text in log.lines.read_text().splitlines()] == [3, 5]
    log.cut(10**9)
    assert len(log.lines.read_text().splitlines()) == 2


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="--logs-dir"):
        RunLog(tmp_path / "file" / "run")


def test_tables():
    assert table(["a", "bb"], [["long", "1"]]) == "a     bb\n----  --\nlong   1"
    values = dict.fromkeys(("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"), 0.12345)
    assert "12.35" in score_table({"all": values}) or "12.34" in score_table({"all": values})
