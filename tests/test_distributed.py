"""Two processes and one on the same run: same labels, losses and weights; checkpoints serve both."""

import json
import shutil

import pytest
import torch
from scripts import call

from tokenmatcher.distributed import ALONE, Team

DEMO = {
    "preset": "demo", "device": "cpu", "batch-size": 16, "num-instances": 4, "epochs": 1, "iters": 4, "k1": 8, "k2": 3,
    "min-samples": 2, "eps": 0.6, "eval-start": 0, "optimizer": "sgd", "lr": 1e-4, "camera-epochs-visible": 1,
    "camera-epochs-infrared": 1, "camera-iters": 2, "camera-batch-size": 16,
}  # fmt: skip
DEMO = [word for name, value in DEMO.items() for word in (f"--{name}", str(value))] + ["--no-progress"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def train(launcher, data, logs, *flags):
    done = call(*launcher, "train_sysu.py", *DEMO, "--data-dir", data, "--logs-dir", logs, *flags)
    assert done.stdout.count("TokenMatcher") == 1, "one process writes"


def entries(logs):
    return [json.loads(line) for line in (logs / "log.jsonl").read_text().splitlines()]


def weights(logs, stage):
    return torch.load(logs / stage / "last.pt", weights_only=True)["model"]


def assert_same(one, two, stages):
    for first, second in zip(entries(one), entries(two), strict=True):
        assert first["labels"] == second["labels"]
        assert first.get("match") == second.get("match")
        # A camera's few images leave logits, which are 20 times the cosines, less precise.
        tolerance = 1e-4 if first["stage"] == "camera" else 1e-5
        assert first["losses"] == pytest.approx(second["losses"], rel=tolerance, abs=tolerance)
    for stage in stages:
        first, second = weights(one, stage), weights(two, stage)
        for name, values in first.items():
            torch.testing.assert_close(values, second[name], rtol=1e-5, atol=1e-5, msg=f"{stage} {name}")


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    data = tmp_path / "sysu"
    call("-m", "tokenmatcher.data.people", "sysu", "--out", data, "--train-ids", 8, "--test-ids", 5)
    call("prepare_sysu.py", "--data-dir", data)
    train([], data, tmp_path / "one", "--stages", "1,camera")
    train(TWO, data, tmp_path / "two", "--stages", "1,camera")
    assert_same(tmp_path / "one", tmp_path / "two", ["stage1", "camera"])

    shutil.copytree(tmp_path / "two", tmp_path / "two then one")
    train([], data, tmp_path / "two then one", "--resume", "auto")
    train(TWO, data, tmp_path / "two", "--resume", "auto")
    assert_same(tmp_path / "two then one", tmp_path / "two", ["stage2"])

    flags = ["--num-instances", 3, "--batch-size", 18, "--camera-batch-size", 15]
    odd = call(*TWO, "train_sysu.py", *DEMO, "--data-dir", data, "--logs-dir", tmp_path / "odd", *flags, check=False)
    assert odd.returncode != 0
    assert "do not divide by 2 processes" in odd.stderr
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_parts_are_all_rows_once(count, size):
    rows = list(range(count))
    parts = [rows[Team(rank, size).part(count)] for rank in range(size)]
    assert [row for part in parts for row in part] == rows
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_nothing_is_sent():
    rows = torch.arange(6.0).view(3, 2).requires_grad_()
    assert ALONE.join(rows, 3) is rows
    assert ALONE.join_batch(rows) is rows
    assert ALONE.same(rows) is rows
    assert ALONE.join_objects("x") == ["x"]
    assert ALONE.decide(lambda: 7) == 7
    model = torch.nn.Linear(2, 2)
    assert ALONE.trained(model) is model
    assert ALONE.leads
