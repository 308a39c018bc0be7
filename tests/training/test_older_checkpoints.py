"""A checkpoint written before batch norm groups came in (commit dc8ecb2, one epoch of stage 1, 24 random pictures of
each modality) is tested and gone on with as what it was."""

import shutil

import pytest
import torch
from conftest import GOLDEN
from small import RUN_RECIPE, lines_of, small_trainer

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.models.weights import load_model
from tokenmatcher.training.checkpoint import as_before
from tokenmatcher.training.resuming import take_up

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
    recipe, notes = as_before(OLD, RECIPE, ())
    assert recipe == RECIPE.override({"bn_groups": 1, "late_jitter": False})
    assert [note.split(": ")[2] for note in notes] == ["bn_groups 1 instead of 4", "late_jitter False instead of True"]
    assert as_before(OLD, RECIPE, {"bn_groups", "late_jitter"}) == (RECIPE, [])


def test_a_file_without_configuration(tmp_path):
    torch.save({"recipe": {"model": {"hight": 3}}}, tmp_path / "odd.pt")
    torch.save({}, tmp_path / "none.pt")
    for name in ("odd.pt", "none.pt"):
        with pytest.raises(UserError, match=name):
            as_before(tmp_path / name, RECIPE, ())


@pytest.mark.parametrize("groups", [1, 4])
def test_it_is_gone_on_with(tmp_path, groups):
    """As one group, or in groups if these are asked for."""
    (tmp_path / "stage1").mkdir()
    shutil.copyfile(OLD, tmp_path / "stage1/last.pt")
    recipe, _ = as_before(OLD, RECIPE, {"bn_groups"} if groups == 4 else ())
    run = small_trainer(tmp_path, dict.fromkeys(Modality, 24), recipe=recipe)
    said = take_up(run, tmp_path / "stage1/last.pt")
    assert ("note: since that checkpoint changed: bn_groups 4 instead of 1" in said) == (groups == 4)
    before = torch.load(OLD, weights_only=True)["model"]
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
    run.train(["1"])
    # What goes on once more from the file that this left stays what it is.
    again, _ = as_before(tmp_path / "stage1/last.pt", RECIPE, ())
    assert again == recipe
    (line,) = lines_of(run)
    assert line["epoch"] == 1
    assert line["losses"]["total"] > 0
