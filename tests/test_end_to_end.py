"""The real scripts as a user runs them, on rendered people."""

import json
import shutil
import signal

import pytest
import torch
from chaos.killed import FIRED
from damage import flip_a_weight
from runs import CAMERA, SMALL, entries, refused
from scripts import call

pytestmark = pytest.mark.slow


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def same_weights(a, b):
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def trained(sysu, tmp_path_factory):
    """An uninterrupted run of all stages."""
    logs = tmp_path_factory.mktemp("logs") / "whole"
    call("train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, *SMALL, *CAMERA, fresh=True)
    return logs


@pytest.fixture(scope="module")
def regdb(tmp_path_factory):
    data = tmp_path_factory.mktemp("regdb") / "regdb"
    call(
        "-m",
        "tokenmatcher.people",
        "regdb",
        "--out",
        data,
        "--ids",
        16,
        "--images",
        6,
        "--height",
        64,
        "--width",
        24,
    )
    call("prepare_regdb.py", "--data-dir", data)
    return data


def test_every_epoch_leaves_a_line_and_a_checkpoint(trained):
    lines = entries(trained)
    stages = [(line["stage"], line.get("camera"), line["epoch"]) for line in lines]
    cameras = [
        ("camera", c, e) for c, epochs in ((1, 2), (2, 2), (4, 2), (5, 2), (3, 1), (6, 1)) for e in range(epochs)
    ]
    assert stages == [("1", None, 0), ("1", None, 1), *cameras, ("2", None, 0), ("2", None, 1)]
    for line in lines:
        if "losses" in line:
            assert line["losses"]["total"] > 0
        else:  # a camera of five people may end in one cluster, as rounding has it
            assert line["stage"] == "camera"
            assert "this camera is left as it is" in line["notes"][-1]
        assert all({"clusters", "outliers", "ari", "nmi"} == set(found) for found in line["labels"].values())
    assert any("losses" in line for line in lines if line["stage"] == "camera")
    assert {"neighbour", "cross"} <= set(lines[-1]["losses"])
    assert {"ratio", "capacity", "right", "matched_columns"} <= set(lines[-1]["match"])
    assert set(lines[-1]["scores"]) == {"all", "indoor"}
    for stage in ("stage1", "stage2"):
        for name in ("last.pt", "best.pt"):
            assert (trained / stage / name).is_file()
    assert json.loads((trained / "config.json").read_text())["model"]["embed_dim"] == 16
    assert not list(trained.rglob("*.tmp"))


def test_the_camera_stage_finds_local_labels_and_keeps_stage_ones_weights(trained):
    assert same_weights(trained / "camera/last.pt", trained / "stage1/last.pt")
    local = torch.load(trained / "stage2/last.pt", weights_only=True)["run"]["method"]["local_labels"]
    assert all((labels >= 0).any() for labels in local.values())


def test_test_script_agrees_with_the_log(trained, sysu, tmp_path):
    out = tmp_path / "scores.json"
    done = call("test_sysu.py", "--resume", trained / "stage2/last.pt", "--data-dir", sysu, "--json", out, fresh=True)
    scores = json.loads(out.read_text())["sysu"]
    assert set(scores) == {"all", "indoor"}
    last = entries(trained)[-1]["scores"]
    for mode in scores:
        assert set(scores[mode]) == {"rank1", "rank5", "rank10", "rank20", "mAP", "mINP", "trials"}
        assert len(scores[mode]["trials"]) == 10
        assert 0 < scores[mode]["mAP"] <= 1
        assert scores[mode]["mAP"] == pytest.approx(last[mode]["mAP"], abs=1e-6)  # the log's rounding
        assert f"{100 * scores[mode]['rank1']:.2f}" in done.stdout
    call("test_sysu.py", "--resume", trained / "stage1/best.pt", "--data-dir", sysu, "--mode", "indoor", "--shots", 10)


def killed(received, point, number, *command):
    """Run a script and send it a signal at the `number`-th time that it comes to a point of `chaos.killed`."""
    done = call("tests/chaos/killed.py", point, number, received.name, *command, check=False)
    assert FIRED in done.stderr, done.stderr
    return done.returncode, done.stderr.replace(FIRED, "").strip()


@pytest.mark.parametrize("after", [1, 4, 13])
def test_a_killed_run_resumes_to_the_same_weights(trained, sysu, tmp_path, after):
    """Killed once `after` epochs are logged: in stage 1, the camera stage, stage 2."""
    logs = tmp_path / "cut"
    command = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, "--resume", "auto", *SMALL, *CAMERA]
    assert killed(signal.SIGKILL, "after an epoch is logged", after, *command) == (-9, "")
    assert len(entries(logs)) == after
    call(*command)
    assert same_weights(logs / "stage2/last.pt", trained / "stage2/last.pt")
    assert entries(logs) == entries(trained)


@pytest.mark.parametrize(("received", "status"), [(signal.SIGTERM, 130), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_epoch_is_gone_on_with_where_it_was_left(trained, sysu, tmp_path, received, status):
    """Stopped within an epoch of stage 1 and of stage 2: what was saved within it is taken up."""
    logs = tmp_path / "cut"
    command = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, "--resume", "auto", *SMALL, *CAMERA]
    saved = 1 if received is signal.SIGKILL else 2  # a signal that can be heeded lets the second step end
    left_of_stage_1 = 6 - saved
    in_cameras = 2 * sum(line["stage"] == "camera" and "losses" in line for line in entries(trained))
    for stage, step in (("stage1", 2), ("stage2", left_of_stage_1 + in_cameras + 2)):
        code, said = killed(received, "before a step", step, *command, "--save-every", "0")
        assert code == status, said
        midway = torch.load(logs / stage / "midway.pt", weights_only=True)
        assert midway["run"]["losses"]["total"][0].tolist() == list(range(saved))
        if received is not signal.SIGKILL:
            assert said == f"stopped by {received.name}; the same command with --resume auto goes on"
    call(*command)
    assert same_weights(logs / "stage2/last.pt", trained / "stage2/last.pt")
    assert entries(logs) == entries(trained)
    assert not list(logs.rglob("midway.pt"))


def test_a_damaged_save_within_an_epoch_is_told_and_left(trained, sysu, tmp_path):
    logs = tmp_path / "damaged"
    shutil.copytree(trained, logs)
    (logs / "stage2/last.pt").unlink()
    (logs / "stage2/midway.pt").write_bytes(b"not a checkpoint")
    done = call("train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, "--resume", "auto", *SMALL, *CAMERA)
    assert done.stdout.count("the epoch starts again") == 1
    assert same_weights(logs / "stage2/last.pt", trained / "stage2/last.pt")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(trained, sysu, tmp_path):
    logs = tmp_path / "damaged"
    shutil.copytree(trained, logs)
    newest = logs / "stage2/last.pt"
    flip_a_weight(newest)
    assert "damaged" in refused("test_sysu.py", "--resume", newest, "--data-dir", sysu)
    command = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, "--resume", "auto", *SMALL, *CAMERA]
    done = call(*command, "--seed", 5)
    assert done.stdout.count("warning: ") == 1
    assert "stage2/last-1.pt" in done.stdout
    assert same_weights(newest, trained / "stage2/last.pt")
    assert entries(logs) == entries(trained)
    # Its random numbers are the old seed's, and everything that it leaves says so.
    assert "the random numbers of seed 1" in done.stdout
    assert json.loads((logs / "config.json").read_text())["run"]["seed"] == 1
    assert torch.load(newest, weights_only=True)["run"]["seed"] == 1


def test_a_finished_run_is_left_alone_and_changed_flags_are_said(trained, sysu, tmp_path):
    logs = tmp_path / "finished"
    shutil.copytree(trained, logs)
    command = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, *SMALL, *CAMERA, "--resume", "auto"]
    before = (logs / "config.json").read_bytes(), (logs / "log.jsonl").read_bytes()
    said = call(*command, "--seed", 77, "--lr", 0.5).stdout
    assert "nothing is left to do" in said
    assert "lr (0.5, 0.5) instead of" in said
    assert "the random numbers of seed 1" in said
    assert ((logs / "config.json").read_bytes(), (logs / "log.jsonl").read_bytes()) == before
    assert json.loads(before[0])["run"]["seed"] == 1


def test_stages_one_by_one_equal_all_at_once(trained, sysu, tmp_path):
    logs = tmp_path / "pieces"
    common = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, *SMALL, *CAMERA]
    call(*common, "--stages", "1")
    call(*common, "--stages", "camera", "--resume", "auto")
    call(*common, "--stages", "2")  # takes up what the others left, asked or not
    assert same_weights(logs / "stage2/last.pt", trained / "stage2/last.pt")
    assert "is there already" in refused(*common)
    assert entries(logs) == entries(trained)


def test_stage_ones_weights_may_lie_elsewhere(trained, sysu, tmp_path):
    """And are still known when the camera stage is done and its folder gone on with."""
    logs = tmp_path / "elsewhere"
    common = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, *SMALL, *CAMERA]
    call(*common, "--stages", "camera", "--resume", trained / "stage1/last.pt")
    assert same_weights(logs / "stage1/last.pt", trained / "stage1/last.pt")
    call(*common, "--stages", "camera,2", "--resume", "auto")
    assert same_weights(logs / "stage2/last.pt", trained / "stage2/last.pt")


def test_regdb(regdb, tmp_path):
    logs = tmp_path / "regdb"
    for trial in (1, 2):
        call("train_regdb.py", "--data-dir", regdb, "--logs-dir", logs, "--trial", trial, *SMALL)
    out = tmp_path / "scores.json"
    done = call("test_regdb.py", "--resume", logs, "--data-dir", regdb, "--json", out)
    assert "2 of them" in done.stdout
    scores = json.loads(out.read_text())["regdb"]
    assert set(scores) == {"visible-to-infrared", "infrared-to-visible"}
    for values in scores.values():
        assert [trial["trial"] for trial in values["trials"]] == [1, 2]
        assert values["rank1"] == pytest.approx(sum(trial["rank1"] for trial in values["trials"]) / 2)
    assert "RegDB, trial 1, 2, last epoch" in done.stdout
    best = call("test_regdb.py", "--resume", logs, "--data-dir", regdb, "--json", out, "--weights", "best")
    assert "RegDB, trial 1, 2, best on the test set" in best.stdout
    assert json.loads(out.read_text())["weights"] == "best"
    one = logs / "trial_1/stage2/last.pt"
    line = refused("test_regdb.py", "--resume", one, "--data-dir", regdb, "--weights", "best")
    assert "--weights best: chooses within a folder" in line
    (logs / "trial_2/stage2/best.pt").unlink()
    line = refused(
        "test_regdb.py", "--resume", logs, "--data-dir", regdb, "--weights", "best", "--json", tmp_path / "x"
    )
    assert "trial_2/stage2/best.pt is not there" in line
    assert not (tmp_path / "x").exists()
    line = refused("test_regdb.py", "--resume", one, "--data-dir", regdb, "--trial", 2)
    assert "trial 1" in line
    call("test_regdb.py", "--resume", one, "--data-dir", regdb, "--direction", "visible-to-infrared")
    assert "test regdb" in refused("test_sysu.py", "--resume", one, "--data-dir", regdb)


def test_bad_flags_and_files(trained, sysu, regdb, tmp_path):
    train = ["train_sysu.py", "--logs-dir", tmp_path / "never"]
    small = ["--data-dir", sysu, *SMALL, *CAMERA]
    assert "nowhere" in refused(*train, "--data-dir", tmp_path / "nowhere", *SMALL)
    assert "prepare_sysu.py" in refused(*train, "--data-dir", tmp_path, *SMALL)
    assert "--eps" in refused(*train, *small, "--eps", 3)
    assert "--stages" in refused(*train, *small, "--stages", "1,three")
    assert "--no-such-flag" in refused(*train, *small, "--no-such-flag")
    assert "--camera-eps" in refused(*train, *small, "--camera-eps", 0.1, 0.2)
    assert "absent.pth" in refused(*train, *small, "--pretrained-path", tmp_path / "absent.pth")
    assert "a folder, not a file" in refused(*train, *small, "--pretrained-path", tmp_path)
    assert "stage 1" in refused(*train, *small, "--stages", "2")
    assert "--seed" in refused(*train, *small, "--seed", -1)
    assert "--save-every" in refused(*train, *small, "--save-every", "nan")
    assert "--bn-groups 3: a batch of 16 visible images" in refused(*train, *small, "--bn-groups", 3)
    assert "--bn-groups 16: a batch of 16 visible images" in refused(*train, *small, "--bn-groups", 16)
    wider = [*small, "--embed-dim", 32, "--resume", trained / "stage1/last.pt"]
    assert "network" in refused(*train, *wider)
    other = tmp_path / "other"
    shutil.copytree(sysu, other, symlinks=True)
    victim = next((other / "rgb_modify/bounding_box_train").iterdir())
    victim.write_bytes(victim.read_bytes()[:200])
    assert victim.name in refused(*train, "--data-dir", other, *SMALL)
    assert not (tmp_path / "never").exists() or not list((tmp_path / "never").rglob("*.pt"))
    elsewhere = tmp_path / "elsewhere.pt"
    shutil.copyfile(trained / "stage1/last.pt", elsewhere)
    assert "is there already" in refused("train_sysu.py", *small, "--logs-dir", trained, "--resume", elsewhere)
    note = tmp_path / "note.pt"
    note.write_text("not a checkpoint")
    assert "note.pt" in refused("test_sysu.py", "--resume", note, "--data-dir", sysu)
    assert "absent.pt" in refused("test_sysu.py", "--resume", tmp_path / "absent.pt", "--data-dir", sysu)
    assert "--trial" in refused("train_regdb.py", "--data-dir", regdb, "--trial", 11, *SMALL)


def test_help_names_every_flag():
    out = call("train_sysu.py", "--help").stdout
    for flag in (
        "--lambda-cross",
        "--num-tokens",
        "--batch-size",
        "-b ",
        "--eps",
        "--camera-eps",
        "--stages",
        "--resume",
    ):
        assert flag in out, flag
    assert "default 0.6" in out
