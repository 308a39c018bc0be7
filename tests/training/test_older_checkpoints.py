"""Checkpoints of before are tested and gone on with as what they were: one written before batch norm groups came in
(commit dc8ecb2, one epoch of stage 1), one in the midst of the camera stage before stages were a method's own (commit
a461d29; cameras 1, 2, 4, 5 found no clusters, camera 3 is done). Both are of 24 random pictures of each modality."""

import shutil

import pytest
import torch
from conftest import GOLDEN
from small import RUN_RECIPE, lines_of, small_trainer

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.models.weights import load_model
from tokenmatcher.training.checkpoint import as_before
from tokenmatcher.training.resuming import as_now, take_up

OLD = GOLDEN / "checkpoint_before_groups.pt"
RECIPE = RUN_RECIPE.override(
    {"eps": 0.5, "min_samples": 1, "k1": 3, "epochs": (2, 1), "optimizer": "sgd", "bn_groups": 4}
)


def test_it_can_be_tested():
    model, _ = load_model(OLD)
    assert model.config.bn_groups == 1
    # Whoever trains it further may ask for groups: no weight depends on them.
    assert load_model(OLD, config=RECIPE.model)[0].config.bn_groups == 4


def test_numbers_that_came_in_later_mean_what_was_done_then():
    recipe, notes = as_before(OLD, RECIPE, "tokenmatcher", ())
    assert recipe == RECIPE.override({"bn_groups": 1, "late_jitter": False})
    assert [note.split(": ")[2] for note in notes] == ["bn_groups 1 instead of 4", "late_jitter False instead of True"]
    assert as_before(OLD, RECIPE, "tokenmatcher", {"bn_groups", "late_jitter"}) == (RECIPE, [])


def test_a_file_without_configuration(tmp_path):
    torch.save({"recipe": {"model": {"hight": 3}}}, tmp_path / "odd.pt")
    torch.save({}, tmp_path / "none.pt")
    for name in ("odd.pt", "none.pt"):
        with pytest.raises(UserError, match=name):
            as_before(tmp_path / name, RECIPE, "tokenmatcher", ())


@pytest.mark.parametrize("groups", [1, 4])
def test_it_is_gone_on_with(tmp_path, groups):
    """As one group, or in groups if these are asked for."""
    (tmp_path / "stage1").mkdir()
    shutil.copyfile(OLD, tmp_path / "stage1/last.pt")
    recipe, _ = as_before(OLD, RECIPE, "tokenmatcher", {"bn_groups"} if groups == 4 else ())
    run = small_trainer(tmp_path, dict.fromkeys(Modality, 24), recipe=recipe)
    said = take_up(run, tmp_path / "stage1/last.pt")
    assert ("note: since that checkpoint changed: bn_groups 4 instead of 1" in said) == (groups == 4)
    before = torch.load(OLD, weights_only=True)["model"]
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
    run.train(["1"])
    # What goes on once more from the file that this left stays what it is.
    again, _ = as_before(tmp_path / "stage1/last.pt", RECIPE, "tokenmatcher", ())
    assert again == recipe
    (line,) = lines_of(run)
    assert line["epoch"] == 1
    assert line["losses"]["total"] > 0


def test_a_camera_stage_is_gone_on_with(tmp_path):
    old = GOLDEN / "checkpoint_in_camera_stage.pt"
    (tmp_path / "camera").mkdir()
    shutil.copyfile(old, tmp_path / "camera/last.pt")
    content = torch.load(old, weights_only=True)
    recipe, _ = as_before(old, RECIPE.override({"epochs": (1, 1)}), "tokenmatcher", ())
    run = small_trainer(tmp_path, dict.fromkeys(Modality, 24), recipe=recipe)
    take_up(run, tmp_path / "camera/last.pt")
    before = {m: labels.copy() for m, labels in run.method.local.labels.items()}
    assert run.stages[run.position.stage].place == {"stage": "camera", "camera": 3}
    run.train(["1", "camera", "2"])
    assert [(line["stage"], line.get("camera")) for line in lines_of(run)] == [("camera", 6), ("2", None)]
    left = torch.load(tmp_path / "camera/last.pt", weights_only=True)
    assert all(torch.equal(left["model"][name], value) for name, value in content["run"]["start"].items())
    for m, labels in before.items():
        done = run.images[m].cameras != 6
        assert labels[done].tolist() == run.method.local.labels[m][done].tolist()
    assert (before[Modality.INFRARED] >= 0).any()


def test_how_far_the_log_had_come_is_counted_in_epochs_now(tmp_path):
    run = torch.load(GOLDEN / "checkpoint_in_camera_stage.pt", weights_only=True)["run"]
    log = tmp_path / "log.jsonl"
    log.write_text("".join("x" * 9 + "\n" for _ in range(8)))
    assert as_now({**run, "log_position": 50}, log)["records"] == 5
    assert as_now({**run, "log_position": 50}, tmp_path / "absent")["records"] == 0
    with pytest.raises(ValueError, match="log_position"):
        as_now({**run, "log_position": "50"}, log)
    found = as_now(run, log)
    assert as_now(found, log) is found
