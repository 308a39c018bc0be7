import base64
import io

import numpy as np
import pytest
from PIL import Image
from trees import write_image

from tokenmatcher.errors import UserError
from tokenmatcher.inspection.page.pictures import HEIGHT, Pictures, overlaid, sheet, small


def decoded(url):
    head, content = url.split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_picture_is_held_once(tmp_path):
    write_image(tmp_path / "a.png", 1, (90, 300))
    write_image(tmp_path / "b.png", 2)
    pictures = Pictures()
    first = pictures.of(tmp_path / "a.png")
    assert pictures.of(tmp_path / "a.png") == first != pictures.of(tmp_path / "b.png")
    assert len(pictures.made) == 2
    assert decoded(pictures.made[first].url).size == (35, HEIGHT)
    assert pictures.made[first].ratio == round(35 / HEIGHT, 4)
    assert decoded(pictures.made[pictures.of(tmp_path / "b.png")].url).size == (8, 16), "never enlarged"
    assert pictures.of(tmp_path / "a.png", 50) != first


def test_grey_of_16_bits_is_not_white(tmp_path):
    Image.fromarray(np.full((20, 10), 256 * 90, dtype=np.uint16)).save(tmp_path / "grey.png")
    assert np.asarray(small(tmp_path / "grey.png")).mean() == pytest.approx(90, abs=1)


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "x.png").write_text("no")
    with pytest.raises(UserError, match=r"x\.png"):
        Pictures().of(tmp_path / "x.png")


def test_where_a_token_looks_it_glows():
    shares = np.zeros((4, 2))
    shares[3, 1] = 1.0
    found = np.asarray(overlaid(Image.new("RGB", (20, 40), (90, 90, 90)), shares)).astype(int)
    assert found[37, 17].sum() > found[3, 3].sum() + 150
    assert np.asarray(overlaid(Image.new("RGB", (20, 40)), np.zeros((4, 2)))).shape == (40, 20, 3)


def test_a_sheet_has_a_place_for_each():
    red, tall = Image.new("RGB", (10, 20), "red"), Image.new("RGB", (5, 20), "blue")
    made = Image.open(io.BytesIO(sheet([[(red, "#00ff00"), (tall, "")], [(red, "")]], height=40)))
    pixels = np.asarray(made.convert("RGB"))
    assert (pixels == (255, 0, 0)).all(2).sum() == 2 * 20 * 40
    assert (pixels == (0, 0, 255)).all(2).sum() == 10 * 40
    assert (pixels == (0, 255, 0)).all(2).any()
    assert Image.open(io.BytesIO(sheet([]))).width > 0
