"""From the flags of `tokenmatcher report` to a page, of runs that were never trained."""

import sys

import pytest
from logged import epochs_of, write_run

from tokenmatcher.commands import report
from tokenmatcher.errors import UserError


def made(*words):
    report.main(list(map(str, words)))


def test_a_runs_own_files_are_kept(tmp_path):
    run = write_run(tmp_path / "run")
    log = (run / "log.jsonl").read_bytes()
    (tmp_path / "link").symlink_to(run / "log.jsonl")
    for path in (run / "log.jsonl", tmp_path / "link", run / "../run/config.json"):
        with pytest.raises(UserError, match="is a file of the run"):
            made(run, "-o", path)
    for _ in range(2):
        made(run, "-o", run / "report.html")
    assert (run / "log.jsonl").read_bytes() == log


def test_a_folder_of_parts_has_a_name(tmp_path):
    with pytest.raises(UserError, match="--parts"):
        made(write_run(tmp_path / "run"), "-o", tmp_path / "r.html", "--parts", "")


def test_a_run_of_another_data_set_is_refused(tmp_path):
    with pytest.raises(UserError, match="was trained on sysu, not on regdb"):
        made(write_run(tmp_path / "run"), "--dataset", "regdb", "-o", tmp_path / "r.html")


def test_without_its_method_there_is_a_page(tmp_path):
    made(write_run(tmp_path / "run", run={"method": "/gone/own.py"}), "-o", tmp_path / "r.html")
    assert "config.json: method /gone/own.py: no such file" in (tmp_path / "r.html").read_text()


def test_what_stands_at_the_top(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tokenmatcher", "report", "a b", "$x"])
    lines = epochs_of()
    made(write_run(tmp_path / "run", lines, run={"method": "pgm"}), "-o", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "<small>published: 57.3</small>" in text, "its own method's, of the first protocol"
    assert "tokenmatcher report &#39;a b&#39; &#39;$x&#39;" in text
