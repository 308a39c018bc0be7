from pathlib import Path

import pytest
from logged import epochs_of, write_run

from tokenmatcher.datasets.sysu import Sysu
from tokenmatcher.doors import find_matcher
from tokenmatcher.errors import UserError
from tokenmatcher.inspection.folder import dataset_of, read_runs, said_first, short_names
from tokenmatcher.presets import preset


def test_a_run_is_read(tmp_path):
    (run,) = read_runs([write_run(tmp_path / "one", recipe=preset("sysu", "demo"))])
    assert (run.name, run.dataset, run.method, run.trial, run.cut) == ("one", "sysu", "tokenmatcher", None, False)
    assert [(epoch.stage, epoch.camera, epoch.epoch) for epoch in run.epochs] == [
        ("1", None, 0), ("1", None, 1), ("camera", 1, 0), ("camera", 3, 0), ("2", None, 0), ("2", None, 1),
    ]  # fmt: skip
    assert run.epochs[2].place == "stage camera 1 epoch 0"
    assert run.recipe() == preset("sysu", "demo")
    assert run.said == ("TokenMatcher 0.2.0, SYSU-MM01", "note: odd")
    assert isinstance(dataset_of(run, None, None), Sysu)
    assert run.checkpoint("last") is None


def test_the_checkpoint_is_of_the_latest_stage_that_was_saved(tmp_path):
    folder = write_run(tmp_path / "run")
    for stage in ("stage1", "camera"):
        (folder / stage).mkdir()
        (folder / stage / "last.pt").touch()
    (folder / "stage1" / "best.pt").touch()
    (run,) = read_runs([folder])
    assert run.checkpoint("last") == folder / "stage1/last.pt", "the camera stage's weights are not used"
    assert run.checkpoint("best") == folder / "stage1/best.pt"
    (folder / "stage2").mkdir()
    (folder / "stage2/last.pt").touch()
    assert run.checkpoint("last") == folder / "stage2/last.pt"
    assert run.checkpoint("best") is None, "an earlier stage's best is not this model's"


def test_a_folder_of_trials_stands_for_them(tmp_path):
    for trial in (10, 2):
        write_run(tmp_path / "regdb" / f"trial_{trial}", run={"dataset": "regdb", "trial": trial})
    runs = read_runs([tmp_path / "regdb"])
    assert [run.trial for run in runs] == [2, 10]
    assert [run.name for run in runs] == ["trial_2", "trial_10"]


def test_names_are_as_short_as_tells_them_apart():
    assert short_names([Path("/a/x/run"), Path("/a/y/run")]) == ["x/run", "y/run"]
    assert short_names([Path("/a/x/one"), Path("/a/y/two")]) == ["one", "two"]


def test_an_unfinished_last_line_is_left_out(tmp_path):
    folder = write_run(tmp_path / "run")
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"stage": "2", "epo')
    (run,) = read_runs([folder])
    assert run.cut and len(run.epochs) == len(epochs_of())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"stage": "2", "epo', "line 7: damaged"),
        ("[1]", "line 7: no epoch"),
        ('{"stage": "1"}', r"line 7: no epoch \(stage, epoch\)"),
        ('{"stage": 1.5, "epoch": 0}', "line 7: no epoch"),
        ('{"stage": "1", "epoch": 0, "camera": "x"}', "line 7: no epoch"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    folder = write_run(tmp_path / "run")
    with (folder / "log.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=message):
        read_runs([folder])


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ('"labels": 5', "labels is 5, not a group"),
        ('"labels": {"visible": 5}', "labels.visible is 5, not a group"),
        ('"labels": {"visible": {"clusters": 3}}', "labels.visible.outliers is absent, not a whole number"),
        (
            '"labels": {"visible": {"clusters": "3", "outliers": 1}}',
            "labels.visible.clusters is '3', not a whole number",
        ),
        (
            '"labels": {"visible": {"clusters": 3, "outliers": 1, "ari": "x"}}',
            "labels.visible.ari is 'x', not a number",
        ),
        ('"scores": {"all": {"mAP": 0.5}}', "scores.all.rank1 is absent, not a number"),
        ('"scores": {"all": {"rank1": null, "mAP": 0.5}}', "scores.all.rank1 is absent, not a number"),
        ('"scores": [1]', r"scores is \[1\], not a group"),
        ('"match": 5', "match is 5, not a group"),
        ('"match": {"right": "half"}', "match.right is 'half', not a number"),
        ('"notes": 5', "notes is 5, not a list"),
        ('"lr": ' + "9" * 400, "lr: a number of 400 digits"),
        ('"x": ' + '{"x": ' * 20 + "1" + "}" * 20, "x.x.*: groups within groups, more than 8"),
        ('"x": ' + "[" * 100_000 + "]" * 100_000, "damaged"),
    ],
)
def test_a_line_of_other_contents_is_named(tmp_path, own, message):
    folder = write_run(tmp_path / "run")
    with (folder / "log.jsonl").open("a") as file:
        file.write(f'{{"stage": "2", "epoch": 2, {own}}}\n')
    with pytest.raises(UserError, match=rf"log\.jsonl, line 7: {message}"):
        read_runs([folder])


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ({"seed": "abc"}, "run.seed is 'abc', not a whole number"),
        ({"seed": -1}, "run.seed is -1, not a seed"),
        ({"method": 5}, "run.method is 5, not text"),
        ({"trial": "1"}, "run.trial is '1', not a whole number"),
    ],
)
def test_a_flag_of_another_kind_is_named(tmp_path, flag, message):
    with pytest.raises(UserError, match=rf"config\.json: {message}"):
        read_runs([write_run(tmp_path / "run", run=flag)])


def test_a_method_or_matcher_that_has_moved_is_named_with_the_file_that_asks_for_it(tmp_path):
    flags = {"method": "/gone/own.py", "matcher": "/gone/match.py"}
    (run,) = read_runs([write_run(tmp_path / "run", run=flags)])
    told = r"config\.json: method /gone/own\.py: no such file"
    assert run.missing and run.missing.endswith("config.json: method /gone/own.py: no such file")
    for asked in (run.kind, run.recipe):
        with pytest.raises(UserError, match=told):
            asked()
    with pytest.raises(UserError, match=r"config\.json: matcher /gone/match\.py: no such file"):
        run.matcher()


@pytest.mark.parametrize("method", ["adca", "sdcl"])
def test_the_matcher_is_the_methods_own_unless_one_was_asked_for(tmp_path, method):
    (run,) = read_runs([write_run(tmp_path / "run", run={"method": method})])
    assert run.matcher() is {"adca": find_matcher("counts"), "sdcl": None}[method]


def test_one_run_under_two_names_is_told(tmp_path):
    folder = write_run(tmp_path / "run")
    (tmp_path / "link").symlink_to(folder)
    for other in (folder, tmp_path / "nowhere/../run", tmp_path / "link"):
        (tmp_path / "nowhere").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="given twice"):
            read_runs([folder, other])


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        read_runs([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="holds no run"):
        read_runs([tmp_path])
    folder = write_run(tmp_path / "run")
    with pytest.raises(UserError, match="given twice"):
        read_runs([folder, folder])
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: damaged"):
        read_runs([folder])
    (folder / "config.json").write_text('{"run": {}}')
    with pytest.raises(UserError, match="names no data set"):
        read_runs([folder])
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        read_runs([folder])
    write_run(folder, [])
    with pytest.raises(UserError, match="no epoch is logged yet"):
        read_runs([folder])
    (folder / "log.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_runs([folder])


def test_a_recipe_that_is_none_is_named(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "config.json").write_text('{"run": {"dataset": "sysu"}, "clusters": {"epps": 1}}')
    with pytest.raises(UserError, match=r"config\.json: .*has no epps"):
        read_runs([folder])[0].recipe()


def test_what_was_said_is_of_the_last_start():
    text = "TokenMatcher 1\nfirst\n\nrows\nTokenMatcher 2\nnote: second\n\n rows"
    assert said_first(text) == ("TokenMatcher 2", "note: second")
    assert said_first("nothing") == ()


def test_a_table_that_has_gone_is_none(tmp_path):
    (run,) = read_runs([write_run(tmp_path / "run", run={"dataset": "own", "data_dir": str(tmp_path)})])
    with pytest.raises(UserError, match="was trained on own, not on regdb"):
        dataset_of(run, "regdb", None)
    assert dataset_of(run, None, None) is None
    (tmp_path / "own.csv").write_text("path,camera,modality\nabsent.jpg,gate,visible\n")
    assert dataset_of(run, None, None) is None, "its pictures have gone"
    with pytest.raises(UserError, match="no such image"):
        dataset_of(run, None, tmp_path)
