"""Ways in which a data set's tree goes wrong, and what must come of each.

A damage is a function of (rng, tree) that changes the files below `tree` and returns what is expected of it,
see `fuzz.expected`. Lists are in `fuzz.lists`.
"""

import os
import random
import shutil
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from fuzz import lists
from fuzz.expected import ANY, LESS, MORE, PIXELS, SAME, exchanged, loop
from PIL import Image


def picture(rng, tree):
    """A raw image that is listed for training or test."""
    suffixes = {".jpg", ".bmp"}
    found = [p for p in tree.rglob("*") if p.suffix in suffixes and not p.is_symlink() and "_modify" not in str(p)]
    return rng.choice(sorted(found))


def listed(path):
    """Whether a list names the picture; others are found in the folder of a camera."""
    return not any(part.startswith("cam") for part in path.parts)


# --- pictures


def truncated(rng, tree):
    path = picture(rng, tree)
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(1, len(content))])
    return ANY


def zero_bytes(rng, tree):
    path = picture(rng, tree)
    path.write_bytes(b"")
    return path.name


def noise(rng, tree):
    path = picture(rng, tree)
    path.write_bytes(b"\0" + rng.randbytes(rng.randrange(1, 4000)))
    return path.name


def flipped_bits(rng, tree):
    path = picture(rng, tree)
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return ANY


def text_for_a_picture(rng, tree):
    path = picture(rng, tree)
    path.write_text("<html>404 not found</html>")
    return path.name


def another_format(rng, tree):
    path = picture(rng, tree)
    with Image.open(path) as image:
        image.load()
    image.save(path, format=rng.choice(("PNG", "BMP", "JPEG")))
    return PIXELS


def a_format_of_no_suffix(rng, tree):
    path = picture(rng, tree)
    with Image.open(path) as image:
        image.load()
    image.convert("RGB").save(path, format=rng.choice(("GIF", "TIFF", "PPM", "EPS", "WEBP")))
    return path.name


def another_mode(rng, tree):
    path, mode = picture(rng, tree), rng.choice(("1", "L", "P", "RGBA", "CMYK", "LA", "I;16"))
    size = rng.randint(1, 40), rng.randint(1, 40)
    if mode == "I;16":
        Image.fromarray(np.full(size, rng.randrange(65536), dtype=np.uint16)).save(path, format="PNG")
    else:
        image = Image.new("RGB", size, tuple(rng.randbytes(3))).convert(mode)
        image.save(path, format="JPEG" if mode == "CMYK" else "PNG")
    return PIXELS


def one_pixel(rng, tree):
    path = picture(rng, tree)
    Image.new("RGB", (1, 1), tuple(rng.randbytes(3))).save(path)
    return PIXELS


def a_long_strip(rng, tree):
    path = picture(rng, tree)
    Image.new("RGB", rng.choice(((1, 3000), (3000, 1)))).save(path)
    return PIXELS


def chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def huge(rng, tree):
    """A PNG that claims more pixels than anybody has memory for, or merely too many."""
    path, side = picture(rng, tree), rng.choice((7_100, 12_000, 60_000))
    header = side.to_bytes(4, "big") * 2 + bytes((1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")))
    return path.name


@cache
def text_bomb():
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 200_000_000))


def a_text_bomb(rng, tree):
    """A PNG whose compressed comment grows to 200 MB."""
    path = picture(rng, tree)
    Image.new("RGB", (8, 16)).save(path, format="PNG")
    content = path.read_bytes()
    path.write_bytes(content[:33] + text_bomb() + content[33:])
    return ANY


def removed(rng, tree):
    path = picture(rng, tree)
    path.unlink()
    return ANY if listed(path) else LESS


def a_folder_for_a_picture(rng, tree):
    path = picture(rng, tree)
    exchanged(path, Path.mkdir)
    return ANY if listed(path) else LESS


def a_loop_for_a_picture(rng, tree):
    return exchanged(picture(rng, tree), loop)


def a_link_for_a_picture(rng, tree):
    path = picture(rng, tree)
    elsewhere = path.with_name(f"{path.stem}.original")
    path.rename(elsewhere)
    path.symlink_to(elsewhere.name)
    return SAME


def no_permission(rng, tree):
    path = picture(rng, tree)
    path.chmod(0)
    return path.name


def no_permission_for_a_folder(rng, tree):
    path = picture(rng, tree).parent
    path.chmod(0)
    return path.name


def strays(rng, tree):
    for _ in range(5):
        folder = picture(rng, tree).parent
        name = rng.choice(("Thumbs.db", ".DS_Store", "._0001.jpg", "desktop.ini", "0001.txt", ".hidden.jpg", "0001"))
        (folder / name).write_bytes(rng.randbytes(20))
    return SAME


def odd_names(rng, tree):
    """More pictures, whose names are commands, escapes, line ends, stray bytes."""
    path = picture(rng, tree)
    names = ["$(touch pwned).jpg", "; touch pwned;.jpg", "line\nend.jpg", "\x1b[31mred.jpg", "ü 名.jpg", "-rf.jpg",
             "%s%n{0}.jpg", "'quote\".jpg", os.fsdecode(b"\xff\xfe.jpg"), " .jpg", "a" * 240 + ".jpg"]  # fmt: skip
    for name in rng.sample(names, 3):
        shutil.copyfile(path, path.with_name(name))
    return SAME if listed(path) else MORE


def a_damaged_odd_name(rng, tree):
    path = picture(rng, tree)
    odd = path.with_name(rng.choice(("\x1b]0;title\x07.jpg", "two\nlines.jpg", os.fsdecode(b"\xff.jpg"))))
    odd.write_bytes(b"no picture")
    return SAME if listed(odd) else "cannot be read as an image"


# --- the tree


def a_folder_is_gone(rng, tree):
    shutil.rmtree(picture(rng, tree).parent)
    return ANY


def a_folder_is_a_file(rng, tree):
    folder = picture(rng, tree).parent
    shutil.rmtree(folder)
    folder.write_bytes(b"")
    return ANY


def a_folder_is_a_loop(rng, tree):
    folder = picture(rng, tree).parent
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)
    return ANY


def a_folder_has_another_name(rng, tree):
    folder = picture(rng, tree).parent
    folder.rename(folder.with_name(f"{folder.name}x"))
    return ANY


def half_a_copy(rng, tree):
    """What a killed preparation leaves."""
    for name in ("rgb_modify", "ir_modify"):
        half = tree / f".{name}.{rng.choice(('new', 'old'))}"
        half.mkdir()
        (half / "left").write_bytes(rng.randbytes(10))
    return SAME


def the_copy_is_a_file(rng, tree):
    path = tree / rng.choice(("rgb_modify", "ir_modify"))
    path.write_bytes(b"")
    return ANY


def an_old_copy(rng, tree):
    folder = tree / "rgb_modify" / "bounding_box_train"
    folder.mkdir(parents=True)
    (folder / "9999_c1_0001.jpg").write_bytes(b"of another data set")
    return SAME


def store_is_a_file(rng, tree):
    (tree / "store").write_bytes(b"")
    return "store"


PICTURES = (
    truncated, zero_bytes, noise, flipped_bits, text_for_a_picture, another_format, a_format_of_no_suffix, another_mode,
    one_pixel, a_long_strip, huge, a_text_bomb, removed, a_folder_for_a_picture, a_loop_for_a_picture,
    a_link_for_a_picture, no_permission, no_permission_for_a_folder, strays, odd_names, a_damaged_odd_name,
)  # fmt: skip
TREES = (
    a_folder_is_gone, a_folder_is_a_file, a_folder_is_a_loop, a_folder_has_another_name, half_a_copy,
    the_copy_is_a_file, an_old_copy, store_is_a_file,
)  # fmt: skip
NO_COPY = tuple(way for way in TREES if way not in (half_a_copy, the_copy_is_a_file, an_old_copy))
DAMAGES = {
    "sysu": (*PICTURES, *TREES, *lists.OF_SYSU),
    "regdb": (*PICTURES, *TREES, *lists.OF_REGDB),
    "llcm": (*PICTURES, *NO_COPY, *lists.OF_LLCM),
}


def damaged(dataset: str, seed: int, tree: Path):
    """Damage `tree` in the way of `seed`, all ways in turn; returns the way's name and what is expected."""
    way = DAMAGES[dataset][seed % len(DAMAGES[dataset])]
    return way.__name__, way(random.Random(seed), tree)
