import json

import pytest

from tokenmatcher.contracts import EpochRecord
from tokenmatcher.errors import UserError
from tokenmatcher.report.log import Console, JsonLines
from tokenmatcher.report.row import head, row
from tokenmatcher.report.tables import score_table, table


def record(epoch=3):
    return EpochRecord(
        {"stage": "2"},
        epoch,
        labels={"visible": {"clusters": 9, "outliers": 1, "ari": 0.5, "nmi": 0.7}},
        facts={
            "match": {"ratio": 2.5, "capacity": 3, "raised": True, "fused_pairs": 2, "right": 0.25},
            "neighbours": {"vis-inf": {"per_image": 0.0, "precision": float("nan")}},
        },
        losses={"visible": 1.25, "total": 2.5},
        images_per_second=99.6,
        scores={"all": {"rank1": 0.5, "mAP": 0.25}},
    )


def test_a_row_for_people_and_a_line_for_programs(tmp_path, capsys):
    for listener in (Console(tmp_path / "run"), JsonLines(tmp_path / "run")):
        listener.on_epoch(record())
    said = capsys.readouterr().out
    assert said.split("\n", 1)[1] == f"{head()}\n{row(record())}\n", "a head, once, and no colour where no terminal is"
    (entry,) = [json.loads(text) for text in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert entry["neighbours"]["vis-inf"]["precision"] is None
    assert entry["losses"] == record().losses
    assert "lr" not in entry and "left" not in entry and "examples" not in entry
    assert (tmp_path / "run/log.txt").read_text() == said


def test_a_head_for_each_stage(tmp_path, capsys):
    console = Console(tmp_path)
    for stage in ("1", "1", "2", "2"):
        console.on_epoch(EpochRecord({"stage": stage}, 0))
    assert capsys.readouterr().out.count(head()) == 2


def test_processes_that_do_not_lead_are_silent(tmp_path, capsys):
    console = Console(tmp_path / "run", silent=True)
    console.on_epoch(record())
    console.say("anything")
    assert capsys.readouterr().out == "" and not (tmp_path / "run").exists()


def test_cutting_back(tmp_path):
    log = JsonLines(tmp_path)
    for epoch in (3, 4):
        log.on_epoch(record(epoch))
    with log.lines.open("a") as file:
        file.write('{"half')
    log.on_begin(tmp_path, 1)
    log.on_epoch(record(5))
    assert [json.loads(text)["epoch"] for text in log.lines.read_text().splitlines()] == [3, 5]
    log.on_begin(tmp_path, 10**9)
    assert len(log.lines.read_text().splitlines()) == 2
    with log.lines.open("a") as file:
        file.write('{"half')  # a power cut's, which the checkpoint counts as a line
    log.on_begin(tmp_path, 3)
    log.on_epoch(record(6))
    assert [json.loads(text)["epoch"] for text in log.lines.read_text().splitlines()] == [3, 5, 6]


@pytest.mark.parametrize("kind", [Console, JsonLines])
def test_a_folder_that_cannot_be_written(tmp_path, kind):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="logs_dir"):
        kind(tmp_path / "file" / "run")


def test_tables():
    assert table(["a", "bb"], [["long", "1"]]) == "a     bb\n----  --\nlong   1"
    values = dict.fromkeys(("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"), 0.12345)
    assert "12.35" in score_table({"all": values}) or "12.34" in score_table({"all": values})
