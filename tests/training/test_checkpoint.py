from dataclasses import replace

import pytest
import torch
from small import SMALL_RECIPE as RECIPE

from tokenmatcher.errors import UserError
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.weights import load_model
from tokenmatcher.training import checkpoint


def save(path, model, run=None):
    folder = checkpoint.RunFolder(path.parent, "tokenmatcher", "sysu", None, RECIPE)
    folder.save(path, model, "a note", scores={"all": {}}, run=run)


def test_round_trip(tmp_path):
    model = TokenViT(RECIPE.model)
    save(tmp_path / "a" / "last.pt", model, {"stage": "1", "epoch": 3})
    content = checkpoint.read(tmp_path / "a" / "last.pt")
    assert content["run"] == {"stage": "1", "epoch": 3}
    assert content["note"] == "a note"
    loaded, _ = load_model(tmp_path / "a" / "last.pt")
    assert type(RECIPE).from_dict(content["recipe"]) == RECIPE
    assert content["method"] == "tokenmatcher"
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


def test_what_serves_for_testing_only_is_not_continued(tmp_path):
    save(tmp_path / "best.pt", TokenViT(RECIPE.model))
    with pytest.raises(UserError, match=r"best\.pt: serves for testing only"):
        checkpoint.read(tmp_path / "best.pt")
    assert checkpoint.read(tmp_path / "best.pt", for_training=False)["note"] == "a note"


def test_other_files_are_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt"):
        checkpoint.read(tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"absent\.pt"):
        checkpoint.read(tmp_path / "absent.pt")


@pytest.mark.parametrize("closes", [False, True])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, closes):
    path = tmp_path / "last.pt"
    save(path, TokenViT(RECIPE.model), {"stage": "1"})
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    def closed(*_):
        try:
            full()
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(checkpoint.torch, "save", closed if closes else full)
    with pytest.raises(UserError, match="No space left"):
        save(path, TokenViT(replace(RECIPE.model)), {"stage": "2"})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
