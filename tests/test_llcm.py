"""LLCM as a user has it: the one command, from rendered people to scores."""

import json

import pytest
from runs import CAMERA, SMALL, entries, refused
from scripts import call

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def llcm(tmp_path_factory):
    data = tmp_path_factory.mktemp("llcm") / "llcm"
    people = ["--train-ids", 12, "--test-ids", 4, "--shots", 3, "--height", 64, "--width", 24, "--no-progress"]
    call("-m", "tokenmatcher", "people", "llcm", "--out", data, *people)
    assert "16,946" in call("-m", "tokenmatcher", "prepare", "llcm", "--data-dir", data).stdout
    return data


def test_train_and_test(llcm, tmp_path):
    logs, out = tmp_path / "logs", tmp_path / "scores.json"
    common = ["-m", "tokenmatcher", "train", "llcm", "--data-dir", llcm, "--logs-dir", logs, *SMALL, *CAMERA]
    said = call(*common, "--camera-epochs-visible", 1, "--camera-iters", 1).stdout
    assert (
        "note: LLCM's presets take SYSU-MM01's numbers" in said
        and "camera_eps 0." not in said.split("configuration:")[0]
    )
    lines = entries(logs)
    cameras = [(line["camera"], *line["labels"]) for line in lines if line["stage"] == "camera"]
    assert cameras == [(c, "visible") for c in range(1, 10)] + [(c, "infrared") for c in (1, 2, 4, 5, 6, 7, 8, 9)]
    assert set(lines[-1]["scores"]) == {"visible-to-infrared", "infrared-to-visible"}
    test = ["-m", "tokenmatcher", "test", "llcm", "--resume", logs / "stage2/last.pt", "--data-dir", llcm]
    call(*test, "--json", out)
    scores = json.loads(out.read_text())["llcm"]
    for name, found in scores.items():
        assert len(found["trials"]) == 10
        assert found["mAP"] == pytest.approx(lines[-1]["scores"][name]["mAP"], abs=1e-6)  # the log's rounding
    call(*test, "--direction", "visible-to-infrared", "--json", out)
    assert set(json.loads(out.read_text())["llcm"]) == {"visible-to-infrared"}
    assert "test llcm" in refused("test_sysu.py", "--resume", logs / "stage2/last.pt", "--data-dir", llcm)
    assert "takes one value or 9, of cameras 1 to 9; got 2" in refused(
        *common[: -len(CAMERA)], "--camera-eps", 0.1, 0.2, "--logs-dir", tmp_path / "never"
    )
