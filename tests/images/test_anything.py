import os

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trees import write_image
from tokenmatcher.errors import UserError
from tokenmatcher.images.anything import as_pixels, each_picture, pictures_in
from tokenmatcher.images.store import decode

SIZE = (32, 16, "lanczos")


@pytest.fixture
def file(tmp_path):
    write_image(tmp_path / "a.png", 5)
    return tmp_path / "a.png"


def test_a_picture_is_the_same_however_it_comes(file):
    expected = decode(file, *SIZE)
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    for picture in (file, str(file), image, array, tensor, tensor.float() / 255):
        assert np.array_equal(as_pixels(picture, *SIZE), expected), type(picture)


def test_grey_has_three_equal_channels():
    found = as_pixels(np.arange(200, dtype=np.uint8).reshape(20, 10), *SIZE)
    assert found.shape == (3, 32, 16) and (found == found[0]).all()


def test_grey_of_16_bits_is_not_clipped_to_white():
    grey = np.arange(200, dtype=np.int32).reshape(20, 10)
    expected = as_pixels(grey.astype(np.uint8), *SIZE)
    deep = Image.fromarray((grey * 257).astype(np.uint16))
    for image in (deep, deep.convert("I"), Image.fromarray(grey)):
        assert np.array_equal(as_pixels(image, *SIZE), expected), image.mode


@pytest.mark.parametrize(
    "picture, said",
    [
        (np.zeros((8, 8, 3)), "uint8"),
        (np.zeros((8, 8, 4), np.uint8), r"\(H, W, 3\)"),
        (torch.zeros(8, 8, 3), r"\(3, H, W\)"),
        (torch.full((3, 8, 8), 1.5), r"0\.\.1"),
        (torch.full((3, 8, 8), float("nan")), r"0\.\.1"),
        (5, "int is no picture"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
        (torch.zeros(3, 8, 0), "no pixels"),
        (Image.new("F", (8, 8), 0.5), r"floats \(mode F\)"),
        (Image.new("I", (8, 8), 70000), r"grey of 70000\.\.70000"),
        (Image.new("I", (8, 8), -1), r"grey of -1"),
    ],
)
def test_what_is_no_picture_is_refused(picture, said):
    with pytest.raises(ValueError, match=said):
        as_pixels(picture, *SIZE)


def test_one_several_nested_and_batches(file):
    array, tensor = np.zeros((8, 8, 3), np.uint8), torch.zeros(3, 8, 8)
    assert len(list(each_picture(array))) == len(list(each_picture(tensor))) == len(list(each_picture(file))) == 1
    assert len(list(each_picture([array, [tensor, file], (array,)]))) == 4
    assert [one.shape for one in each_picture(np.zeros((5, 8, 8, 3), np.uint8))] == [(8, 8, 3)] * 5
    assert [one.shape for one in each_picture(torch.zeros(5, 3, 8, 8))] == [(3, 8, 8)] * 5
    assert list(each_picture([])) == []
    for wrong in (None, 3, b"abc", {"a": array}, [array, None]):
        with pytest.raises(ValueError, match="is no picture"):
            list(each_picture(wrong))


def test_a_folder_is_all_pictures_in_it(tmp_path):
    for name in ("b/2.jpg", "b/10.JPG", "a.png", "c/d/e.bmp", ".hidden/x.jpg", "b/.x.jpg"):
        write_image(tmp_path / name, 1)
    (tmp_path / "notes.txt").write_text("no picture")
    names = [path.relative_to(tmp_path).as_posix() for path in pictures_in(tmp_path)]
    assert names == ["a.png", "b/10.JPG", "b/2.jpg", "c/d/e.bmp"]
    assert list(each_picture(tmp_path)) == list(each_picture(str(tmp_path))) == pictures_in(tmp_path)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UserError, match=r"pipe\.jpg: not a regular file"):
        as_pixels(tmp_path / "pipe.jpg", *SIZE)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.jpg: no such image"):
        as_pixels(tmp_path / "absent.jpg", *SIZE)
    with pytest.raises(UserError, match=r"cannot read .*absent"):
        pictures_in(tmp_path / "absent")
