"""Files of PyTorch's: what is read, and what is refused."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmatcher.errors import UserError
from tokenmatcher.models.files import load_file
from tokenmatcher.models.weights import load_model

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_authors_envelope_is_read() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = load_file(GOLDEN / "authors_envelope.pth.tar")
    assert content["epoch"] == 50
    assert isinstance(content["best_mAP"], np.floating) and 0 < content["best_mAP"] < 1
    assert {k: tuple(v.shape) for k, v in content["state_dict"].items()} == {
        "module.cls_token": (1, 4, 2),
        "module.bottlenecks.0.num_batches_tracked": (),
    }


def test_the_allowance_for_numpy_ends_with_the_load() -> None:
    before = set(torch.serialization.get_safe_globals())
    load_file(GOLDEN / "authors_envelope.pth.tar")
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(GOLDEN / "authors_envelope.pth.tar", weights_only=True)


class Payload:
    """Touches a file when unpickled by a reader that runs what it reads."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    target, file = tmp_path / "touched", tmp_path / "evil.pth"
    torch.save({"state_dict": Payload(target)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"evil\.pth: refused: holds \S+, and only plain tensors"):
        load_file(file)
    assert not target.exists()
    torch.load(file, weights_only=False)  # the payload is a live one
    assert target.exists()


def test_a_bare_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    target, file = tmp_path / "touched", tmp_path / "evil.pth"
    file.write_bytes(pickle.dumps(Payload(target), protocol=2))
    with pytest.raises(UserError, match=r"evil\.pth"):
        load_file(file)
    assert not target.exists()


@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    file = tmp_path / "short.pth"
    torch.save({"state_dict": {"weight": torch.randn(5000)}, "epoch": 3}, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(UserError, match=r"short\.pth: .*damaged") as caught:
        load_file(file)
    assert "\n" not in str(caught.value)


@given(content=st.binary(max_size=200))
@settings(max_examples=40, deadline=None)
def test_any_bytes_are_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("bytes") / "noise.pth"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"noise\.pth: ") as caught:
        load_file(file)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.pth: no such file"):
        load_file(tmp_path / "absent.pth")
    with pytest.raises(UserError, match="a folder, not a file"):
        load_file(tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(UserError, match=r"other\.zip: not a PyTorch file"):
        load_file(tmp_path / "other.zip")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth: holds a list"):
        load_file(tmp_path / "list.pth")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: neither our checkpoint"):
        load_model(tmp_path / "other.pth")
