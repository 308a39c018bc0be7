import pytest
import torch
from safetensors.torch import save_file
from small import SMALL, SMALL_RECIPE

from tokenmatcher import TokenViT
from tokenmatcher.errors import UserError
from tokenmatcher.models.files import load_file
from tokenmatcher.models.tensors import tensor_bytes
from tokenmatcher.models.vit_start import to_pretrained_layout
from tokenmatcher.models.weights import build_model, load_model

CONTENT = {
    "format": "tokenmatcher", "version": 2, "method": "tokenmatcher", "dataset": "regdb", "trial": 3,
    "recipe": SMALL_RECIPE.to_dict(), "note": "stage 2, epoch 1, last", "scores": {"all": {"rank1": 0.25}},
    "run": {"seed": torch.ones(3)}, "digest": "of the former file",
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    network = TokenViT(SMALL)
    path.write_bytes(tensor_bytes({**CONTENT, "model": network.state_dict()}, network.state_dict()))
    return network, path


def test_a_checkpoint_comes_back(file):
    network, path = file
    content = load_file(path)
    assert {"run"} == CONTENT.keys() - content.keys()
    for key in ("method", "dataset", "trial", "note", "scores"):
        assert content[key] == CONTENT[key]
    found, report = build_model(content, source=str(path))
    assert found.config == SMALL and not report.skipped
    for key, value in network.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key


def test_a_changed_byte_is_noticed(file):
    _, path = file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: damaged"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x08\0\0\0\0\0\0\0[[[[[[[["])
def test_what_is_no_such_file(content, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.safetensors: not a safetensors file, or damaged"):
        load_file(path)
    with pytest.raises(UserError, match="no such file"):
        load_file(tmp_path / "y.safetensors")


def test_metadata_that_is_no_checkpoints(tmp_path):
    path = tmp_path / "x.safetensors"
    for text, message in (("[1]", "metadata"), ("[" * 100_000, "damaged"), ("{}", "neither our checkpoint")):
        save_file({"a": torch.ones(1)}, path, metadata={"tokenmatcher": text})
        with pytest.raises(UserError, match=message):
            load_model(path)


def test_a_start_from_elsewhere(file, tmp_path):
    """Self-supervised weights as safetensors, which know nothing of us."""
    network, _ = file
    path = tmp_path / "start.safetensors"
    save_file(to_pretrained_layout(network), path)
    found, report = load_model(path, config=SMALL)
    assert report.layout.value == "pretrained"
    assert torch.equal(found.vit.blocks[0].attn.qkv.weight, network.vit.blocks[0].attn.qkv.weight)
