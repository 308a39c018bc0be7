import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenmatcher.errors import UserError
from tokenmatcher.models.digest import check_digest, digest_of

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), st.dictionaries(st.text(max_size=3), VALUES))
def test_equal_contents_alone_have_equal_digests(one, other):
    for content in (one, other):
        content.pop("digest", None)
    assert (digest_of(one) == digest_of(other)) == (repr(one) == repr(other))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
def test_every_bit_of_a_tensor_counts(dtype):
    values = torch.arange(6).view(2, 3).to(dtype)
    digest = digest_of({"a": values})
    changed = values.clone()
    changed[1, 2] = changed[1, 2] == 0
    assert digest_of({"a": values.clone()}) == digest
    assert digest_of({"a": changed}) != digest
    assert digest_of({"a": values.view(3, 2)}) != digest
    assert digest_of({"b": values}) != digest
    assert digest_of({"a": torch.tensor(1.5)}) != digest_of({"a": torch.tensor(2.5)})


def test_a_flipped_byte_in_the_file_is_found(tmp_path):
    path = tmp_path / "file.pt"
    content = {"weights": torch.randn(5000), "note": "a note"}
    torch.save({**content, "digest": digest_of(content)}, path)
    check_digest(torch.load(path, weights_only=True), "file.pt")
    whole, rng = path.read_bytes(), random.Random(0)
    found = 0
    for _ in range(40):
        place = rng.randrange(1000, 20000)  # among the weights
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"file\.pt: damaged"):
            check_digest(torch.load(path, weights_only=True), "file.pt")
        found += 1
    assert found == 40
