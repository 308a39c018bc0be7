"""The same seed gives the same run, and the same batches on any number of threads."""

import hashlib

import pytest
import torch
from small import RUN_RECIPE, lines_of, said_by, small_trainer

from tokenmatcher.contracts import Modality
from tokenmatcher.images.batches import make_batches, plan_batches
from tokenmatcher.models.digest import digest_of
from tokenmatcher.training import checkpoint
from tokenmatcher.training.midway import MIDWAY

COUNT = dict.fromkeys(Modality, 24)
RECIPE = RUN_RECIPE.override({"eps": 0.5, "min_samples": 1, "k1": 3, "iters": (4, 4)})


def test_the_same_bits_twice(tmp_path):
    runs = []
    for name in ("one", "other"):
        run = small_trainer(tmp_path / name, COUNT, recipe=RECIPE)
        run.train(["1", "camera", "2"])
        runs.append(run)
    weights = [run.network.state_dict() for run in runs]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    lines = [lines_of(run) for run in runs]
    for line in lines[0] + lines[1]:
        line.pop("seconds"), line.pop("images_per_second", None)
    assert lines[0] == lines[1]


def digest_of_batches(folder):
    """Which images an epoch's batches hold, in order, and a digest of their augmented pixels."""
    run = small_trainer(folder, COUNT, recipe=RECIPE)
    labels, batching = {m: run.images[m].identities for m in Modality}, run.stages[0].batching
    plans = plan_batches(labels, run.images, batching, run.random.order)
    batches = make_batches(run.images, plans, run.augmenter, batching, run.machine)
    return [
        [batch.index[m].tolist(), hashlib.sha256(batch.images[m].contiguous().numpy().tobytes()).hexdigest()]
        for batch in batches
        for m in Modality
    ]


def test_threads_do_not_change_the_data(tmp_path):
    """No pixel hangs on a sum that several threads share."""
    before, said = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            said.append(digest_of_batches(tmp_path / f"{threads}"))
    finally:
        torch.set_num_threads(before)
    assert len(said[0]) == 8
    assert said[0] == said[1] == said[2]


ODD = {
    "memories": [[], [torch.zeros(1)] * 2, 3],
    "losses": [
        {"total": 3},
        {"total": (torch.arange(9), torch.zeros(9))},
        {"total": (torch.tensor([0]), torch.zeros(1)), "visible": (torch.tensor([7]), torch.zeros(1))},
    ],
    "optimizer": [None, {"state": {0: {"word": torch.zeros(3)}}}, {"state": {0: {"momentum_buffer": torch.zeros(())}}}],
    "random": [{}, {"order": "{}"}],
    "place": [{}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD.items() for value in values])
def test_an_odd_save_within_an_epoch_is_told_and_the_epoch_starts_again(tmp_path, monkeypatch, name, value):
    run, saved = small_trainer(tmp_path / "run", COUNT, recipe=RECIPE), []
    run.save_minutes = 0
    original = checkpoint.RunFolder.save

    def keep(folder, path, *arguments, **options):
        original(folder, path, *arguments, **options)
        if path.name == MIDWAY:
            saved.append(checkpoint.read(path))

    monkeypatch.setattr(checkpoint.RunFolder, "save", keep)
    run.train(["1"])
    assert [len(content["run"]["losses"]["total"][0]) for content in saved] == [1, 2, 3]
    content = saved[1]
    content["run"][name] = value
    content["digest"] = digest_of(content)
    again = small_trainer(tmp_path / "again", COUNT, recipe=RECIPE)
    (tmp_path / "again" / "stage1").mkdir()
    torch.save(content, tmp_path / "again" / "stage1" / MIDWAY)
    again.train(["1"])
    assert said_by(again).count("; the epoch starts again") == 1
    weights = [each.network.state_dict() for each in (run, again)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_long_epoch_can_be_saved_after_every_step(tmp_path):
    """Also where the losses have just been looked at."""
    run = small_trainer(tmp_path, COUNT, recipe=RECIPE.override({"iters": (12, 12)}))
    run.save_minutes = 0
    run.train(["1"])
    assert (tmp_path / "stage1" / "last.pt").is_file()
