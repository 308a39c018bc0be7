"""The same seed gives the same run, whatever is asked of threads, workers or where it is cut."""

import json
import os
import subprocess
import sys

import pytest
import torch
from scripts import ROOT
from small import RUN_RECIPE, small_run

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.data.batches import make_batches, plan_joint_epoch
from tokenmatcher.errors import UserError
from tokenmatcher.model.digest import digest_of
from tokenmatcher.training import checkpoint
from tokenmatcher.training.epoch import MIDWAY
from tokenmatcher.training.stages import train

COUNT = dict.fromkeys(Modality, 24)
RECIPE = RUN_RECIPE.override({"eps": 0.5, "min_samples": 1, "k1": 3, "iters": (4, 4)})


def test_the_same_bits_twice(tmp_path):
    runs = []
    for name in ("one", "other"):
        run = small_run(tmp_path / name, COUNT, recipe=RECIPE)
        train(run, ["1", "camera", "2"])
        runs.append(run)
    weights = [run.model.state_dict() for run in runs]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    lines = [[json.loads(line) for line in run.log.lines.read_text().splitlines()] for run in runs]
    for line in lines[0] + lines[1]:
        line.pop("seconds"), line.pop("images_per_second", None)
    assert lines[0] == lines[1]


def digest_of_batches(folder):
    """Which images an epoch's batches hold, in order, and their augmented pixels to five digits."""
    run = small_run(folder, COUNT, recipe=RECIPE)
    labels = {m: PseudoLabels(run.sets[m].identities) for m in Modality}
    plans = plan_joint_epoch(labels, run.sets, RECIPE.data, iters=4, rng=run.random.order, other_cameras=True)
    batches = make_batches(run.sets, plans, run.augmenter, run.device, twins=True, jitter_plain=False)
    return [
        [batch.index[m].tolist(), [round(value, 5) for value in batch.images[m].mean(dim=(1, 2, 3)).tolist()]]
        for batch in batches
        for m in Modality
    ]


@pytest.mark.slow
def test_threads_do_not_change_the_data(tmp_path):
    said = []
    for threads in ("1", "2", "3"):
        code = (
            "import json, sys; from pathlib import Path; from test_reproducible import digest_of_batches; "
            "print(json.dumps(digest_of_batches(Path(sys.argv[1]))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / threads)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "training"))),
            },
        )
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    assert len(said[0]) == 8
    assert said[0] == said[1] == said[2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memories", []),
        ("losses", {"total": 3}),
        ("optimizer", {"state": {0: {"word": torch.zeros(3)}}}),
        ("random", {}),
    ],
)
def test_an_odd_save_within_an_epoch_is_refused(tmp_path, name, value):
    run = small_run(tmp_path, COUNT, recipe=RECIPE)
    run.save_minutes = 0
    kept = []
    original = run.save

    def keep(path, note, **options):
        original(path, note, **options)
        if path.name == MIDWAY and not kept:
            kept.append(checkpoint.read(path))

    run.save = keep
    train(run, ["1"])
    (content,) = kept
    (tmp_path / "stage1" / "last.pt").unlink()
    content["run"][name] = value
    content["digest"] = digest_of(content)
    again = small_run(tmp_path, COUNT, recipe=RECIPE)
    torch.save(content, tmp_path / "stage1" / MIDWAY)
    with pytest.raises(UserError, match=r"midway\.pt: not a save of ours .*; without it the epoch starts again"):
        train(again, ["1"])
