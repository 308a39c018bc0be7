"""Two processes and one on the same run: same labels, losses and weights; checkpoints serve both."""

import json
import pickle
import shutil

import pytest
import torch
from scripts import call
from small import SMALL
from trees import clear_sysu_tree

from tokenmatcher import distributed
from tokenmatcher.distributed import ALONE, Team, started_team
from tokenmatcher.errors import SettingError, UserError, flag
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.vit_start import to_pretrained_layout

FLAGS = {
    "preset": "demo", "device": "cpu", "height": 32, "width": 16, "patch-size": 8, "embed-dim": 16, "depth": 1,
    "num-heads": 2, "stem-channels": 4, "batch-size": 16, "num-instances": 4, "epochs": 1, "iters": 4, "k1": 8, "k2": 3,
    "min-samples": 2, "eps": 0.5, "eval-start": 0, "optimizer": "sgd", "camera-epochs-visible": 1,
    "camera-epochs-infrared": 1, "camera-iters": 4, "camera-batch-size": 16, "camera-k1": 4, "camera-k2": 2,
}  # fmt: skip
FLAGS = [word for name, value in FLAGS.items() for word in (f"--{name}", str(value))] + ["--no-progress"]
SDCL = [
    "--method", "sdcl", "--k1-visible", 8, "--across-from", 0, "--match-ranked", 8,
    *FLAGS[: FLAGS.index("--camera-epochs-visible")], "--no-progress",
]  # fmt: skip
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
LOGGED = 1.5e-6  # the log keeps six decimals: of two equal numbers one may be rounded up, the other down
EPSILON = torch.finfo(torch.float32).eps


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A prepared tree, and a start that tells its people apart: strong blocks, and nothing that all images share."""
    folder = tmp_path_factory.mktemp("clear")
    call("prepare_sysu.py", "--data-dir", clear_sysu_tree(folder / "sysu"))
    torch.manual_seed(1)
    model = TokenViT(SMALL)
    with torch.no_grad():
        model.vit.cls_token.zero_()
        for block in model.vit.blocks:
            for parameter in block.parameters():
                parameter *= 15 if parameter.ndim == 2 else 1
    torch.save(to_pretrained_layout(model), folder / "start.pth")
    return folder


def train(people, logs, *flags, launcher=(), script=("train_sysu.py",), check=True, common=FLAGS):
    start = ["--data-dir", people / "sysu", "--pretrained-path", people / "start.pth", "--logs-dir", logs]
    done = call(*launcher, *script, *common, *start, *flags, check=check)
    if check:
        assert done.stdout.count("TokenMatcher") == 1, "one process writes"
    return done


def entries(logs):
    return [json.loads(line) for line in (logs / "log.jsonl").read_text().splitlines()]


def weights(logs, stage):
    return torch.load(logs / stage / "last.pt", weights_only=True)["model"]


def assert_same_choices(one, two):
    """Labels, matches and neighbours, which hang on no rounding: see `clear_sysu_tree`."""
    assert len(entries(one)) == len(entries(two)) > 0
    for first, second in zip(entries(one), entries(two), strict=True):
        for found in (first, second):
            assert all(labels["ari"] == 1 and labels["outliers"] == 0 for labels in found["labels"].values())
        for name in ("labels", "silhouette", "match", "neighbours", "association"):
            assert first.get(name) == second.get(name), name


def assert_same_in_double(one, two, stages):
    assert_same_choices(one, two)
    for first, second in zip(entries(one), entries(two), strict=True):
        assert first["losses"] == pytest.approx(second["losses"], abs=LOGGED)
        assert first["gradient"] == pytest.approx(second["gradient"], abs=LOGGED)
    for stage in stages:
        first, second = weights(one, stage), weights(two, stage)
        assert first.keys() == second.keys()
        for name, values in first.items():
            # The epsilon is 2e-16, and a run of some steps was seen to make 5e-14 of it. What is not rounding is not
            # that small: already a gradient computed in single precision is off by 1e-7.
            # A bias whose mean a batch norm takes off has no gradient but rounding, and is some 1e-18.
            difference = (values - second[name]).abs().max()
            assert difference <= 1e-10 * max(values.abs().max(), 1e-5), f"{stage} {name}: {difference}"


@pytest.mark.slow
def test_two_processes_are_one(people, tmp_path):
    """In double precision, where what is left of the order of sums is far below what any mistake would make."""
    double = {"script": ["tests/doubled.py", "train_sysu.py"]}
    rates = ["--lr", 1e-4, "--camera-lr", 1e-4]
    one, two, mixed = tmp_path / "one", tmp_path / "two", tmp_path / "two then one"
    train(people, one, *rates, "--stages", "1,camera", **double)
    train(people, two, *rates, "--stages", "1,camera", launcher=TWO, **double)
    assert weights(two, "stage1")["vit.pos_embed"].dtype == torch.float64
    assert_same_in_double(one, two, ["stage1", "camera"])

    shutil.copytree(two, mixed)
    train(people, mixed, *rates, "--resume", "auto", **double)
    train(people, two, *rates, "--resume", "auto", launcher=TWO, **double)
    assert_same_in_double(mixed, two, ["stage2"])
    assert {"neighbour", "cross", "fusion"} <= set(entries(two)[-1]["losses"])


@pytest.mark.slow
def test_two_processes_are_one_in_sdcl(people, tmp_path):
    """With instance memories, which every process writes alike, and stage 2 from what two processes have left."""
    double = {"script": ["tests/doubled.py", "train_sysu.py"], "common": SDCL}
    one, two, mixed = tmp_path / "one", tmp_path / "two", tmp_path / "two then one"
    train(people, one, "--lr", 1e-4, **double)
    train(people, two, "--lr", 1e-4, "--stages", "1", launcher=TWO, **double)
    shutil.copytree(two, mixed)
    train(people, two, "--lr", 1e-4, "--resume", "auto", launcher=TWO, **double)
    train(people, mixed, "--lr", 1e-4, "--resume", "auto", **double)
    assert_same_in_double(one, two, ["stage1", "stage2"])
    assert_same_in_double(mixed, two, ["stage2"])
    # Every visible image belongs to some infrared cluster, also of the two people whom infrared cameras do not see.
    assert entries(two)[1]["association"]["trained"] == 1
    assert {"vis-vis_deep", "inf-vis_shallow"} <= set(entries(two)[1]["losses"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adca", "pgm"])
def test_two_processes_are_one_in_adca_and_pgm(people, tmp_path, method):
    """Stage 2 from what two processes have left, by two and by one."""
    flags = FLAGS[: FLAGS.index("--camera-epochs-visible")]
    double = {"script": ["tests/doubled.py", "train_sysu.py"], "common": ["--method", method, *flags, "--no-progress"]}
    two, mixed = tmp_path / "two", tmp_path / "two then one"
    train(people, two, "--lr", 1e-4, "--stages", "1", launcher=TWO, **double)
    shutil.copytree(two, mixed)
    train(people, two, "--lr", 1e-4, "--resume", "auto", launcher=TWO, **double)
    train(people, mixed, "--lr", 1e-4, "--resume", "auto", **double)
    assert_same_in_double(mixed, two, ["stage2"])
    assert entries(two)[-1]["match"]["matched"] > 0.5


def loss_errors(entry, rate):
    """How far the terms of an epoch may be apart in single precision.

    An image passes some 20 roundings of a few numbers' worth of epsilon each, so its cosines are good to 20 epsilons,
    and logits are 20 times cosines (temperature 0.05). The terms are sums of up to three means of cross-entropies.

    A ReLU whose input is that near 0 may pass a value in one run and not in the other. One of some 10,000 values is
    1 % of a gradient of random signs, so the weights of the four steps drift apart by 1 % of what they move, which
    is the rate times 1 + 2 + 3 gradients, no momentum lost; the loss follows by the gradient once more.
    """
    cosine = 20 * EPSILON
    drift = rate * 6 * entry["gradient"] ** 2 / 100
    return {name: 3 * cosine * (1 if name == "diversity" else 20) + drift + LOGGED for name in entry["losses"]}


@pytest.mark.slow
def test_two_processes_as_a_user_starts_them(people, tmp_path):
    """In single precision: the same choices, and losses as far apart as sums in another order explain."""
    one, two, rate = tmp_path / "one", tmp_path / "two", 1e-6
    for logs, launcher in ((one, ()), (two, TWO)):
        train(people, logs, "--lr", rate, "--camera-lr", rate, launcher=launcher)
    assert_same_choices(one, two)
    for first, second in zip(entries(one), entries(two), strict=True):
        errors = loss_errors(first, rate)
        assert max(errors.values()) < 0.01, "or the comparison says little: the losses are some 0.5 to 20"
        for name, error in errors.items():
            assert first["losses"][name] == pytest.approx(second["losses"][name], abs=error), (first["stage"], name)


@pytest.mark.slow
def test_two_processes_in_bfloat16(people, tmp_path):
    """One batch norm group over both; a weight has 8 bits there, so losses are compared to some 20 of their steps."""
    flags = ["--precision", "bf16", "--bn-groups", 1, "--stages", "1", "--lr", 1e-6]
    one, two = tmp_path / "one", tmp_path / "two"
    train(people, one, *flags)
    train(people, two, *flags, launcher=TWO)
    for first, second in zip(entries(one), entries(two), strict=True):
        assert first["losses"] == pytest.approx(second["losses"], rel=20 * 2**-8)


@pytest.mark.slow
def test_batches_that_do_not_divide_are_refused(people, tmp_path):
    flags = ["--num-instances", 3, "--batch-size", 18, "--camera-batch-size", 15]
    odd = train(people, tmp_path / "odd", *flags, launcher=TWO, check=False)
    assert odd.returncode != 0
    assert "do not divide by 2 processes" in odd.stderr
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_parts_are_all_rows_once(count, size):
    rows = list(range(count))
    parts = [rows[Team(rank, size).shard(count)] for rank in range(size)]
    assert [row for part in parts for row in part] == rows
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_nothing_is_sent():
    rows = torch.arange(6.0).view(3, 2).requires_grad_()
    assert ALONE.all_gather(rows, 3) is rows
    assert ALONE.all_gather_rows(rows) is rows
    assert ALONE.broadcast(rows) is rows
    assert ALONE.all_gather_object("x") == ["x"]
    assert ALONE.decide(lambda: 7) == 7
    model = torch.nn.Linear(2, 2)
    assert ALONE.trained(model) is model
    assert ALONE.leads


def test_all_processes_read_an_error_with_its_flags(monkeypatch):
    wire = []

    def broadcast(answer, src):
        assert src == 0
        wire.extend([pickle.dumps(answer[0])] if answer[0] else [])
        answer[0] = pickle.loads(wire[0])

    def fails():
        raise SettingError("{eps} {given}: too large", given=3)

    monkeypatch.setattr(distributed.dist, "broadcast_object_list", broadcast)
    for rank in (0, 1):
        with pytest.raises(SettingError) as caught:
            Team(rank, 2).decide(fails)
        assert caught.value.worded(flag) == "--eps 3: too large"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "LOCAL_RANK is not set: start them by torchrun"),
        ({"RANK": "0", "WORLD_SIZE": "two", "LOCAL_RANK": "0"}, "WORLD_SIZE is 'two': start"),
    ],
)
def test_processes_that_torchrun_did_not_number(monkeypatch, numbers, message):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in numbers.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message), started_team("cpu"):
        pass
