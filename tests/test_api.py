import doctest

import numpy as np
import pytest
import torch
from small import SMALL, small_trainer

import tokenmatcher.api
from tests.trees import write_image
from tokenmatcher import Modality, TokenMatcher, TokenViT, pictures_in
from tokenmatcher.errors import UserError
from tokenmatcher.images.store import decode
from tokenmatcher.models.embedder import embed


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TokenMatcher(TokenViT(SMALL), device="cpu")


def test_its_docstring():
    found = doctest.testmod(tokenmatcher.api)
    assert found.attempted >= 6 and not found.failed


def test_features_are_those_of_the_tests(model, tmp_path):
    paths = [tmp_path / "in" / f"{number}.jpg" for number in range(5)]
    for number, path in enumerate(paths):
        write_image(path, number)
    pixels = torch.from_numpy(np.stack([decode(path, SMALL.height, SMALL.width, "lanczos") for path in paths]))
    expected = torch.nn.functional.normalize(embed(model.network, pixels, Modality.INFRARED), dim=1)
    # Blocks of another size may round otherwise: unit features, so a few float32 roundings of numbers below 1.
    assert pictures_in(str(paths[0].parent)) == paths, "the order of a folder's features"
    for images in (paths, paths[0].parent, str(paths[0].parent), [paths[:2], paths[2:]]):
        assert torch.allclose(model.embed(images, "infrared", batch_size=np.int64(2)), expected, atol=1e-5)
    single = model.embed(paths[3], Modality.INFRARED)
    assert single.shape == (1, model.width) and torch.allclose(single[0], expected[3], atol=1e-5)
    assert not torch.allclose(model.embed(paths, "visible"), expected, atol=1e-2), "each modality has its own stem"
    assert not torch.allclose(model.embed(paths, "infrared", mirror=False), expected, atol=1e-3)


def test_nothing_to_embed_and_what_is_wrong(model, tmp_path):
    assert model.embed([], "visible").shape == (0, model.width)
    with pytest.raises(ValueError, match="'thermal' is no modality; there are visible, infrared"):
        model.embed([], "thermal")
    with pytest.raises(ValueError, match="holds no picture"):
        model.embed(tmp_path, "visible")
    with pytest.raises(UserError, match=r"x\.jpg: no such image"):
        model.embed(tmp_path / "x.jpg", "visible")


def test_ranking_is_the_obvious_loop(model):
    gallery = torch.tensor([[1.0, 0], [0, 1], [1, 0], [-1, 0]])
    found = model.rank(torch.tensor([[1.0, 0], [0.6, 0.8]]), gallery)
    assert found.order.tolist() == [[0, 2, 1, 3], [1, 0, 2, 3]]
    assert found.similarity[0].tolist() == [1, 1, 0, -1]
    assert model.rank(gallery[:1], gallery, top=np.int64(2)).order.tolist() == [[0, 2]]
    assert model.rank(gallery[:0], gallery).order.shape == (0, 4)
    with pytest.raises(ValueError, match="share a width"):
        model.rank(gallery, torch.eye(5))


GALLERY = torch.eye(2)


@pytest.mark.parametrize(
    "queries, top, said",
    [
        (GALLERY, -1, "top must be"),
        (GALLERY, 1.5, "top must be"),
        (GALLERY * 5, None, "unit features"),
        (GALLERY * float("nan"), None, "unit features"),
        (GALLERY[0], None, "tensor of features"),
        (GALLERY.numpy(), None, "tensor of features"),
        (GALLERY.double(), None, "of one kind"),
    ],
)
def test_what_cannot_be_ranked_is_refused(model, queries, top, said):
    with pytest.raises(ValueError, match=said):
        model.rank(queries, GALLERY, top=top)


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_batches_of_no_size_are_refused(model, size):
    with pytest.raises(ValueError, match="batch_size must be"):
        model.embed([np.zeros((8, 8, 3), np.uint8)], "visible", batch_size=size)


@pytest.mark.parametrize("device", ["tpu", "cuda:99", 3])
def test_devices_that_there_are_not_are_refused(device):
    with pytest.raises(UserError, match=r"device .*: must be auto, cuda, cpu"):
        TokenMatcher(TokenViT(SMALL), device=device)


def test_from_a_checkpoint(tmp_path):
    trainer = small_trainer(tmp_path, dict.fromkeys(Modality, 8))
    trainer.folder.save(tmp_path / "last.pt", trainer.network, "a test's")
    model = TokenMatcher.from_checkpoint(tmp_path / "last.pt", device="cpu")
    assert "last.pt: own layout" in model.note and not model.network.training
    pictures = np.zeros((2, 40, 20, 3), np.uint8)
    again = TokenMatcher(trainer.network, device="cpu").embed(pictures, "visible")
    assert torch.equal(model.embed(pictures, "visible"), again)
    with pytest.raises(UserError, match="no such file"):
        TokenMatcher.from_checkpoint(tmp_path / "absent.pt")
