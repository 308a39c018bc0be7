import subprocess

import pytest
from trees import write_image

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.errors import UserError
from tokenmatcher.inspection.provenance import commit, data_digest, versions
from tokenmatcher.version import __version__


def records(folder, identity=1):
    return [ImageRecord(folder / f"{n}.png", Modality.VISIBLE, 1, identity) for n in range(3)]


def tree(folder, seed=0):
    for n in range(3):
        write_image(folder / f"{n}.png", seed + n)
    return folder


def test_the_digest_is_of_the_data_and_not_of_its_place(tmp_path):
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    digest = data_digest(records(one), one)
    assert digest == data_digest(records(two)[::-1] + records(two), two), "order and repetition do not count"
    assert digest != data_digest(records(one, identity=2), one)
    assert digest != data_digest(records(tree(tmp_path / "three", seed=9)), tmp_path / "three")
    (one / "0.png").write_bytes(b"another")
    assert digest != data_digest(records(one), one)
    (one / "0.png").unlink()
    with pytest.raises(UserError, match=r"0\.png: cannot be read"):
        data_digest(records(one), one)


def test_versions_and_commit():
    found = versions()
    assert found["TokenMatcher"] == __version__ and {"Python", "torch", "numpy"} <= set(found)
    told = commit()
    if told is not None:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        assert told.split()[0] == head
