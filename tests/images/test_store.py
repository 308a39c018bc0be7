import os

import numpy as np
import pytest
import torch
from PIL import Image

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.errors import UserError
from tokenmatcher.images import store as store_module
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.images.store import ImageStore, decode

SIZE = {"height": 12, "width": 6, "interpolation": "bicubic"}


def picture(seed=0, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def records(tmp_path):
    folder = tmp_path / "bilder ü mit leer"
    folder.mkdir()
    made = []
    for number in range(5):
        path = folder / f"{number}.png"
        picture(number).save(path)
        made.append(ImageRecord(path, Modality.VISIBLE, 1, number))
    return made


def open_store(records, folder, label="train"):
    return ImageStore.open(records, folder, label, **SIZE, progress=False)


def test_holds_what_pillow_decodes(records, tmp_path):
    store = open_store(records, tmp_path / "store")
    for image, record in zip(store.images, records, strict=True):
        with Image.open(record.path) as file:
            expected = np.asarray(file.resize((6, 12), Image.Resampling.BICUBIC))
        assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)
    batch = store.batch(np.array([3, 0, 3]), torch.device("cpu"))
    assert torch.equal(batch, store.images[[3, 0, 3]])


def test_decodes_once_and_again_when_a_picture_changes(records, tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(store_module, "decode", lambda path, *a: decoded.append(path) or decode(path, *a))
    folder = tmp_path / "store"
    open_store(records, folder)
    open_store(records, folder)
    assert len(decoded) == 5
    before = open_store(records, folder).images.clone()
    picture(77).save(records[2].path)
    os.utime(records[2].path, ns=(1, 1))
    after = open_store(records, folder)
    assert len(decoded) == 10
    assert not torch.equal(after.images[2], before[2])
    assert torch.equal(after.images[[0, 1, 3, 4]], before[[0, 1, 3, 4]])
    assert len(list(folder.iterdir())) == 1, "the outdated file is gone"
    open_store(records, folder, label="other")
    assert len(list(folder.iterdir())) == 2, "other sets are left alone"


def test_interruption_leaves_nothing(records, tmp_path, monkeypatch):
    def stop(path, *rest):
        if path == records[3].path:
            raise KeyboardInterrupt
        return decode(path, *rest)

    monkeypatch.setattr(store_module, "decode", stop)
    with pytest.raises(KeyboardInterrupt):
        open_store(records, tmp_path / "store")
    assert not list((tmp_path / "store").iterdir())


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA", "I;16"])
def test_colour_modes(tmp_path, mode):
    path = tmp_path / "image.png"
    if mode == "I;16":
        grey = np.asarray(picture(mode="L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(path)
        expected = picture(mode="L")
    else:
        expected = picture(mode=mode)
        expected.save(path)
    got = decode(path, 20, 10, "bilinear").transpose(1, 2, 0)
    assert np.array_equal(got, np.asarray(expected.convert("RGB")))


def test_a_jpeg_of_four_inks(tmp_path):
    path = tmp_path / "image.jpg"
    Image.new("CMYK", (10, 20), (10, 200, 30, 40)).save(path, quality=100)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(decode(path, 20, 10, "bilinear").transpose(1, 2, 0), expected)


def test_more_pixels_than_anybody_photographs_are_refused(tmp_path):
    """A whole picture, small as a file, that Pillow would decode."""
    path = tmp_path / "huge.jpg"
    Image.new("1", (7100, 7100)).save(path, format="PNG")
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match=r"huge\.jpg: 7100x7100 pixels, more than 50,000,000 are refused"):
        decode(path, 20, 10, "bilinear")


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "EPS", "PPM"])
def test_formats_that_no_suffix_stands_for_are_refused(tmp_path, kind):
    """Some of them Pillow hands to outside programs."""
    path = tmp_path / "image.jpg"
    picture().save(path, format=kind)
    with pytest.raises(UserError, match=r"image\.jpg: cannot be read as an image"):
        decode(path, 20, 10, "bilinear")


def test_a_png_called_jpg_is_read(tmp_path):
    path = tmp_path / "wrong.jpg"
    picture().save(path, format="PNG")
    assert np.array_equal(decode(path, 20, 10, "bicubic").transpose(1, 2, 0), np.asarray(picture()))


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "bomb", "folder"])
def test_unreadable_pictures_are_named(tmp_path, damage, monkeypatch):
    path = tmp_path / "bad one.jpg"
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not a picture")
    elif damage == "truncated":
        picture().resize((200, 400)).save(path)
        path.write_bytes(path.read_bytes()[:-900])
    elif damage == "bomb":
        picture().save(path)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    elif damage == "folder":
        path.mkdir()
    with pytest.raises(UserError, match=r"bad one\.jpg") as error:
        decode(path, 12, 6, "bicubic")
    assert "\n" not in str(error.value)


def test_one_bad_picture_stops_the_store(records, tmp_path):
    records[4].path.write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"4\.png"):
        open_store(records, tmp_path / "store")
    assert not list((tmp_path / "store").iterdir())


def test_a_folder_that_cannot_be_written(records, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UserError, match="file"):
        open_store(records, blocked / "store")


def test_clustering_may_see_the_pictures_resized_in_another_way(records, tmp_path):
    both = ImageSet.load(
        records, Modality.VISIBLE, tmp_path / "store", "train", height=12, width=6,
        interpolation="bilinear", cluster_interpolation="bicubic", progress=False,
    )  # fmt: skip
    for store, filter_ in ((both.store, Image.Resampling.BILINEAR), (both.clustered, Image.Resampling.BICUBIC)):
        for image, record in zip(store.images, records, strict=True):
            with Image.open(record.path) as file:
                assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(file.resize((6, 12), filter_)))
    moved = both.to(torch.device("cpu"))
    assert torch.equal(moved.clustered.images, both.clustered.images)
    one = ImageSet.load(
        records, Modality.VISIBLE, tmp_path / "store", "train", **SIZE, cluster_interpolation="bicubic", progress=False
    )
    assert one.clustered is one.store
