"""Damaged checkpoints and starts: read as they were, or refused in one line; no code, no giant allocation."""

import copy
import random

import numpy as np
import pytest
import torch
from scripts import call, limits_memory
from small import RUN_RECIPE, SMALL, small_trainer

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.digest import DIGEST, digest_of
from tokenmatcher.models.vit_start import to_pretrained_layout
from tokenmatcher.models.weights import load_model
from tokenmatcher.training import checkpoint
from tokenmatcher.training.resuming import take_up

COUNT = dict.fromkeys(Modality, 24)
RECIPE = RUN_RECIPE.override({"eps": 0.5, "min_samples": 1, "k1": 3})
CASES = 250


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint that training can be continued from."""
    folder = tmp_path_factory.mktemp("whole")
    small_trainer(folder, COUNT, recipe=RECIPE).train(["1"])
    return folder / "stage1" / "last.pt"


def refusal(attempt):
    """What a UserError says, None if there is none."""
    try:
        attempt()
    except UserError as error:
        assert str(error).isprintable()
        return str(error)
    return None


def gone_on_with(path, folder):
    run = small_trainer(folder, COUNT, recipe=RECIPE.override({"epochs": (2, 1)}))
    take_up(run, path)
    run.train(["1"])


def refusals(path, folder):
    """Of all that reads a checkpoint, each by itself."""
    readers = (
        lambda: load_model(path),
        lambda: checkpoint.read(path),
        lambda: gone_on_with(path, folder),
    )
    return [said for reader in readers if (said := refusal(reader))]


def test_damaged_bytes_are_refused(whole, tmp_path):
    content = whole.read_bytes()
    path = tmp_path / "damaged.pt"
    refused = 0
    for seed in range(CASES):
        rng, damaged = random.Random(seed), bytearray(content)
        way = rng.choice(("flip", "cut", "zero", "insert", "swap"))
        place = rng.randrange(len(damaged))
        if way == "flip":
            damaged[place] ^= 1 << rng.randrange(8)
        elif way == "cut":
            del damaged[place:]
        elif way == "zero":
            damaged[place : place + 512] = bytes(min(512, len(damaged) - place))
        elif way == "insert":
            damaged[place:place] = rng.randbytes(rng.randint(1, 64))
        else:
            damaged[place:] = damaged[place:][::-1]
        path.write_bytes(damaged)
        try:
            read = checkpoint.read(path)
        except UserError as error:
            assert "damaged.pt" in str(error)
            refused += 1
        else:  # a byte that nothing reads: padding, the zip's own times
            assert digest_of(read) == digest_of(checkpoint.read(whole))
    assert refused > CASES / 2


def parts(content, path=()):
    """Where everything in nested dictionaries and lists stands."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list | tuple) and not isinstance(value, torch.Size):
            yield from parts(value, (*path, key))


ODD = (
    None, -1, 0, 1.5, 10**9, -(10**30), float("nan"), float("inf"), "", "word", True, [], {}, [1, 2], {"a": 1},
    torch.zeros(3), torch.tensor(float("nan")), torch.zeros(0), torch.zeros(2, 2, dtype=torch.int64), "\x1b[31m\n",
)  # fmt: skip


def test_changed_contents_with_a_right_digest_are_read_or_refused(whole, tmp_path):
    """What a stranger could write: everything is of a kind that is read, the digest agrees, and something is odd."""
    original = checkpoint.read(whole)
    places = [place for place in parts(original) if place[0] != DIGEST]
    path = tmp_path / "odd.pt"
    refused = 0
    for seed in range(CASES // 2):
        rng, content = random.Random(seed), copy.deepcopy(original)
        *above, last = rng.choice(places)
        holder = content
        for key in above:
            if isinstance(holder[key], tuple):
                holder[key] = list(holder[key])
            holder = holder[key]
        if rng.random() < 0.2 and isinstance(holder, dict):
            del holder[last]
        elif isinstance(holder[last], torch.Tensor) and rng.random() < 0.5:
            value = holder[last]
            others = (
                value.reshape(-1)[:0],
                value.double(),
                value.unsqueeze(0),
                torch.zeros(()),
                -value,
                value * np.nan,
            )
            holder[last] = rng.choice(others)
        else:
            holder[last] = rng.choice(ODD)
        content[DIGEST] = digest_of(content)
        torch.save(content, path)
        refused += bool(refusals(path, tmp_path / "resumed"))
    assert CASES / 8 < refused < CASES / 2  # notes, scores and most numbers of the recipe may be anything


GIANTS = """
import resource, sys, torch
from pathlib import Path
from tokenmatcher.errors import UserError
from tokenmatcher.models.weights import load_model

torch.set_num_threads(1)  # each reserves addresses
load_model(sys.argv[1])
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 300_000_000,) * 2)
for path in sys.argv[2:]:
    try:
        load_model(path)
    except UserError as error:
        print(error)
"""


@limits_memory
def test_a_giant_network_is_refused_before_memory_is_taken(whole, tmp_path):
    """With 300 MB to spare; a network that was built and failed for want of memory would be told otherwise."""
    original = checkpoint.read(whole)
    paths = []
    giants = {"embed_dim": 96_000, "depth": 960_000, "num_tokens": 960_000, "mlp_ratio": 960_000, "height": 64_000,
              "stem_channels": 960_000}  # fmt: skip
    for name, value in giants.items():
        content = copy.deepcopy(original)
        content["recipe"]["model"][name] = value
        content[DIGEST] = digest_of(content)
        paths.append(tmp_path / f"{name}.pt")
        torch.save(content, paths[-1])
    (tmp_path / "giants.py").write_text(GIANTS)
    said = call(tmp_path / "giants.py", whole, *paths).stdout.splitlines()
    assert len(said) == len(paths)
    for line, path in zip(said, paths, strict=True):
        assert path.name in line
        assert "its weights have" in line


def test_damaged_starts_are_refused(tmp_path):
    start = to_pretrained_layout(TokenViT(SMALL))
    path = tmp_path / "start.pth"
    for seed in range(CASES // 2):
        rng, content = random.Random(seed), dict(start)
        key = rng.choice(sorted(content))
        change = rng.choice(("gone", "odd", "nan", "shape", "sparse", "complex"))
        if change == "gone":
            del content[key]
        elif change == "odd":
            content[key] = rng.choice(ODD)
        elif change == "nan":
            content[key] = torch.full_like(content[key].float(), rng.choice((np.nan, np.inf)))
        elif change == "shape":
            content[key] = content[key].flatten()[: rng.randrange(content[key].numel())].reshape(-1, 1)
        elif change == "sparse":
            content[key] = content[key].to_sparse()
        else:
            content[key] = content[key].to(torch.complex64)
        torch.save({"teacher": content}, path)
        with pytest.raises(UserError, match=r"start\.pth"):
            load_model(path, config=SMALL)
