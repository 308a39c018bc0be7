"""Damage a tiny data set in every way of `damages`, read it as the scripts do, judge what comes of it.

    PYTHONPATH=tests python -m fuzz.harness --cases 2000 --report FILE.md

A case passes if the set is read as expected, or refused by one line and exit status 2 with nothing half-written; never
by a traceback or by not ending. As root the reading is done as nobody, so that missing permissions are felt.
"""

import argparse
import codecs
import contextlib
import hashlib
import io
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from fuzz.damages import DAMAGES, damaged
from fuzz.expected import ANY, LESS, MORE, PIXELS, SAME
from PIL import Image
from trees import llcm_tree, regdb_tree, sysu_tree

from tokenmatcher.cli import run
from tokenmatcher.datasets import find_dataset
from tokenmatcher.datasets.files import read_ids
from tokenmatcher.datasets.llcm import llcm_images
from tokenmatcher.datasets.sysu import sysu_images
from tokenmatcher.images.store import ImageStore

NOBODY, SECONDS = 65534, 600  # a case takes a tenth of a second
SIZE = {"height": 16, "width": 8, "interpolation": "bilinear", "progress": False}


def template(dataset, folder):
    """An undamaged tree and what is read from it."""
    tree = folder / dataset
    if dataset == "sysu":
        sysu_tree(tree, train=(1, 4), val=(7,), test=(2, 6))
    elif dataset == "llcm":
        llcm_tree(tree, train=(1, 2), test=(4,), images=1)
    else:
        regdb_tree(tree, num_ids=4, trials=(1,))
    # What is imported on first use nobody may not be allowed to read: Pillow's formats, a codec.
    Image.init()
    codecs.lookup("unicode_escape")
    copy = folder / f"{dataset}-read"
    shutil.copytree(tree, copy)
    found, said = read(dataset, copy)
    assert found is not None, said
    return tree, found


def work(dataset, tree):
    """What preparing, training and testing read: {part: {image: (camera, identity, digest of its pixels)}}."""
    trial, data = 1 if dataset == "regdb" else None, find_dataset(dataset)
    print(data.prepare(tree).table())
    parts = {str(m): records for m, records in data.training(tree, trial).items()}
    if dataset == "sysu":
        ids = read_ids(tree / "exp" / "test_id.txt")
        parts["test"] = [record for identity in ids for record in sysu_images(tree, identity, range(1, 7))]
        parts["drawn"] = list(data.benchmark(tree).images)
    elif dataset == "llcm":
        ids = read_ids(tree / "idx" / "test_id.txt")
        parts["test"] = [r for m, cams in data.cameras.items() for i in ids for r in llcm_images(tree, m, i, cams)]
        parts["drawn"] = list(data.benchmark(tree).images)
    else:
        parts["test"] = list(data.benchmark(tree, 1).images)
    found = {}
    for part, records in parts.items():
        pixels = ImageStore.open(records, tree / "store", part, **SIZE).images
        found[part] = {
            os.fspath(record.path.relative_to(tree)): (
                record.camera,
                record.identity,
                hashlib.sha256(image.numpy().tobytes()).hexdigest(),
            )
            for record, image in zip(records, pixels, strict=True)
        }
    return found


def read(dataset, tree):
    """(what is read, None), or (None, the line that refuses it)."""
    found = {}
    out, err = io.StringIO(), io.StringIO()

    def late(*_):
        raise AssertionError(f"not done after {SECONDS} seconds")

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run(lambda: found.update(work(dataset, tree)))
    except SystemExit as end:
        status = end.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    if status == 0:
        return found, None
    lines = err.getvalue().splitlines()
    assert status == 2 and len(lines) == 1 and lines[0].startswith("error: "), (status, err.getvalue())
    assert lines[0].isprintable(), repr(lines[0])
    return None, lines[0]


@contextlib.contextmanager
def as_nobody(tree):
    """Root may do everything; nobody may not."""
    if os.geteuid() != 0:
        yield
        return
    for path in [tree, *tree.rglob("*")]:
        os.lchown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def judge(expected, base, found, said):
    """Raises AssertionError where the outcome is not the expected one."""
    if found is None:
        assert expected == ANY or expected in said, f"expected {expected!r}: {said}"
        return
    assert expected in (SAME, PIXELS, LESS, MORE, ANY), f"was to be refused with {expected!r}"
    if expected == SAME:
        assert found == base
    for part in base:
        if expected == PIXELS:
            assert {k: v[:2] for k, v in found[part].items()} == {k: v[:2] for k, v in base[part].items()}
        if part != "drawn" and expected in (LESS, MORE):
            few, many = (found, base) if expected == LESS else (base, found)
            assert few[part].items() <= many[part].items()
        for name in found[part].keys() & base[part].keys():
            assert found[part][name][:2] == base[part][name][:2]
    if expected == MORE:
        count = {id(of): sum(len(images) for part, images in of.items() if part != "drawn") for of in (found, base)}
        assert count[id(found)] == count[id(base)] + 3


def case(dataset, seed, tree, base, folder):
    """One damaged tree; returns the damage's name and the refusal, None where it was read."""
    hurt = folder / f"case{seed}"
    shutil.copytree(tree, hurt)
    try:
        name, expected = damaged(dataset, seed, hurt)
        with as_nobody(hurt):
            found, said = read(dataset, hurt)
        try:
            judge(expected, base, found, said)
            left = [p for p in hurt.rglob("*") if p.name.endswith(".tmp") or p.name.endswith(("_modify.new", ".old"))]
            assert not left, left
            assert not list(hurt.rglob("pwned")) and not Path("pwned").exists()
        except AssertionError as error:
            raise AssertionError(f"{dataset} {name}, seed {seed}: {error}") from error
        return name, said
    finally:
        shutil.rmtree(hurt, ignore_errors=True)


@contextlib.contextmanager
def workshop():
    """A folder that nobody, too, may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if os.geteuid() == 0:
            closed = [str(path) for path in folder.resolve().parents if not path.stat().st_mode & 0o001]
            assert not closed, f"nobody may not enter {closed[0]}: set TMPDIR to a folder that all may enter"
        yield folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="damaged trees (default 2000)")
    parser.add_argument("--report", type=Path, required=True, help="Markdown file")
    given = parser.parse_args()
    counts, failed = defaultdict(Counter), []
    with workshop() as folder:
        ready = {dataset: template(dataset, folder) for dataset in DAMAGES}
        for seed in range(given.cases):
            dataset = list(DAMAGES)[seed % len(DAMAGES)]
            try:
                name, said = case(dataset, seed // len(DAMAGES), *ready[dataset], folder)
                counts[name][(dataset, "read" if said is None else "refused")] += 1
            except AssertionError as error:
                failed.append(str(error))
                print(error, flush=True)
    lines = ["| damage | SYSU: read | refused | RegDB: read | refused | LLCM: read | refused |", "|---" * 7 + "|"]
    for name in dict.fromkeys(way.__name__ for ways in DAMAGES.values() for way in ways):
        cells = [counts[name][(d, o)] or "" for d in DAMAGES for o in ("read", "refused")]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(map(str, cells))} |")
    total = sum(sum(found.values()) for found in counts.values())
    lines.append(f"\n{total} of {given.cases} cases ended as expected.")
    given.report.write_text("\n".join(lines) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
