from pathlib import Path

import pytest
from damage import flip_a_weight
from small import SMALL_RECIPE as RECIPE

from tokenmatcher.errors import UserError
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.training import checkpoint
from tokenmatcher.training.resuming import checkpoint_to_resume, clear_leftovers

ALL = ["1", "camera", "2"]


def save(path, epoch, keep=2):
    run = {"stage": "1", "epoch": epoch}
    folder = checkpoint.RunFolder(path.parent, "tokenmatcher", "sysu", None, RECIPE, keep)
    folder.save(path, TokenViT(RECIPE.model), "", run=run)


def resumed(asked, folder, wanted=ALL):
    return checkpoint_to_resume(asked, folder, ALL, wanted)


def epoch_of(path):
    return checkpoint.read(path)["run"]["epoch"]


def test_the_last_saves_are_kept_and_no_more(tmp_path):
    for epoch in range(5):
        save(tmp_path / "last.pt", epoch)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last-1.pt", "last-2.pt", "last.pt"]
    assert [epoch_of(tmp_path / name) for name in ("last.pt", "last-1.pt", "last-2.pt")] == [4, 3, 2]


def test_the_newest_whole_one_is_taken(tmp_path):
    assert resumed("auto", tmp_path) == (None, [])
    for epoch in (1, 2, 3):
        save(tmp_path / "stage1/last.pt", epoch)
    assert resumed("auto", tmp_path) == (tmp_path / "stage1/last.pt", [])
    save(tmp_path / "stage2/last.pt", 7)
    assert resumed("auto", tmp_path)[0] == tmp_path / "stage2/last.pt"

    (tmp_path / "stage2/last.pt").write_bytes((tmp_path / "stage2/last.pt").read_bytes()[:-300])
    path, warnings = resumed("auto", tmp_path)
    assert path == tmp_path / "stage1/last.pt"
    assert len(warnings) == 1
    assert "stage2/last.pt" in warnings[0]

    flip_a_weight(tmp_path / "stage1/last.pt")
    path, warnings = resumed("auto", tmp_path)
    assert path == tmp_path / "stage1/last-1.pt"
    assert epoch_of(path) == 2
    assert "damaged" in warnings[1]

    for name in ("last-1.pt", "last-2.pt"):
        (tmp_path / "stage1" / name).write_bytes(b"")
    with pytest.raises(UserError, match="every checkpoint is damaged"):
        resumed("auto", tmp_path)


def test_without_auto_nothing_is_overwritten(tmp_path):
    other = str(tmp_path / "other/stage1/last.pt")
    save(Path(other), 1)
    tmp_path /= "run"
    save(tmp_path / "stage1/last.pt", 1)
    with pytest.raises(UserError, match="is there already"):
        resumed(None, tmp_path)
    assert resumed(None, tmp_path, ["camera", "2"])[0] == tmp_path / "stage1/last.pt"
    with pytest.raises(UserError, match="is there already"):
        resumed(other, tmp_path)
    assert resumed(other, tmp_path / "new") == (Path(other), [])
    own = str(tmp_path / "stage1/last.pt")
    assert resumed(own, tmp_path) == (tmp_path / "stage1/last.pt", [])
    with pytest.raises(UserError, match=r"absent\.pt: no such file"):
        resumed("absent.pt", tmp_path / "new")
    save(tmp_path / "stage2/last.pt", 1)
    with pytest.raises(UserError, match=r"stage2/last\.pt is of a later stage than resume .*stage1/last\.pt"):
        resumed(own, tmp_path)
    assert resumed(str(tmp_path / "stage2/last.pt"), tmp_path)[0] == tmp_path / "stage2/last.pt"
    (tmp_path / "stage2/last.pt").unlink()
    save(tmp_path / "stage2/midway.pt", 1)
    with pytest.raises(UserError, match=r"midway\.pt is there already"):
        resumed(None, tmp_path, ["2"])


def test_only_our_own_leftovers_are_cleared(tmp_path):
    ours = [tmp_path / "stage1/last.pt.123.tmp", tmp_path / "camera/midway.pt.7.tmp", tmp_path / "config.json.9.tmp"]
    others = [tmp_path / "notes.tmp", tmp_path / "stage1/thesis.tmp", tmp_path / "deep/er/last.pt.123.tmp"]
    for path in ours + others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    clear_leftovers(tmp_path, ALL)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)
