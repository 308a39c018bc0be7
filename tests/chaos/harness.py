"""Kill a run at random, go on, compare with a run that nobody touched.

    PYTHONPATH=tests python -m chaos.harness --kills 30 --report FILE.md

Seeds decide where each run is killed, once or several times, and by which signal; every piece but the last is killed
or ends by itself. In the end weights, logs and scores must be bit for bit those of the whole run.
"""

import argparse
import json
import random
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from chaos.killed import FIRED, POINTS
from scripts import call

TINY = shlex.split(
    "--preset demo --device cpu --pretrained-path none --no-progress --height 32 --width 16 --patch-size 8 "
    "--embed-dim 16 --depth 1 --num-heads 2 --stem-channels 4 --batch-size 16 --num-instances 4 --epochs 2 --iters 12 "
    "--k1 6 --k2 2 --min-samples 2 --eps 0.7 --eval-start 0 --camera-epochs-visible 1 --camera-epochs-infrared 1 "
    "--camera-keep-from 0 --camera-iters 2 --camera-batch-size 16 --camera-eps 0.7 --camera-k1 6 --camera-k2 2"
)
SIGNALS = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGINT")  # the first has no chance to save anything
STATUS = {"SIGKILL": -9, "SIGTERM": 130, "SIGINT": 130}


@dataclass(frozen=True)
class Kill:
    point: str
    number: int
    signal: str
    save_every: str

    def __str__(self):
        return f"{self.signal} {self.point}, time {self.number}, --save-every {self.save_every}"


def python(*arguments):
    return call(*arguments, check=False)


def demand(done, *statuses):
    if done.returncode not in statuses or "Traceback" in done.stderr:
        raise AssertionError(f"exit status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def rendered(folder):
    """A tiny SYSU-MM01 of rendered people with its training copy."""
    people = shlex.split("--train-ids 8 --test-ids 5 --seed 3 --workers 1")
    demand(python("-m", "tokenmatcher.people", "sysu", "--out", folder, *people), 0)
    demand(python("prepare_sysu.py", "--data-dir", folder), 0)
    return folder


def command(data, logs):
    return ["train_sysu.py", "--data-dir", data, "--logs-dir", logs, "--resume", "auto", *TINY]


def whole(data, folder):
    """The run that nobody touches, and how often it comes to each point."""
    counted = folder.with_suffix(".json")
    call("tests/chaos/killed.py", "count", counted, "-", *command(data, folder), fresh=True)
    return json.loads(counted.read_text())


def drawn(seed, counts):
    rng = random.Random(seed)
    kills = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        point = rng.choice(POINTS)
        kills.append(
            Kill(point, rng.randint(1, counts[point]), rng.choice(SIGNALS), rng.choice(("0", "0.001", "1000")))
        )
    return kills


def state(folder):
    """All that must be equal: every checkpoint's weights, optimiser, scores and local labels, and the log without its
    times. Not the copies kept of former checkpoints: a finished camera stage is saved again when it is resumed."""
    found = {}
    for path in sorted(path for path in folder.rglob("*.pt") if path.stem in ("last", "best")):
        content = torch.load(path, weights_only=True)
        found[str(path.relative_to(folder))] = [
            content["model"],
            content["scores"],
            content.get("run", {}).get("method"),
            content.get("run", {}).get("optimizer"),
        ]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds"), line.pop("images_per_second", None)
    return {**found, "log": lines}


def differences(a, b, path=""):
    """Where two states are not bit for bit the same."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [path]
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return [f"{path}: {sorted(map(str, a.keys() ^ b.keys()))}"]
        return [place for key in a for place in differences(a[key], b[key], f"{path}/{key}")]
    if isinstance(a, list | tuple) and len(a) == len(b):
        return [place for n, (x, y) in enumerate(zip(a, b, strict=True)) for place in differences(x, y, f"{path}/{n}")]
    return [] if a == b else [path]


def trial(data, untouched, logs, kills):
    """Run, kill, go on; raises AssertionError where the end differs from the run that nobody touched.

    Returns which of the kills came to their point; the later ones find less left to do.
    """
    killed = []
    for kill in kills:
        run = [*command(data, logs), "--save-every", kill.save_every]
        done = python("tests/chaos/killed.py", kill.point, kill.number, kill.signal, *run)
        fired = FIRED in done.stderr
        killed.append(fired)
        demand(done, STATUS[kill.signal] if fired else 0)
    demand(python(*command(data, logs)), 0)
    different = differences(state(untouched), state(logs))
    if different:
        raise AssertionError(f"after {'; '.join(map(str, kills))}: {different[:5]}")
    left = [str(path) for path in logs.rglob("*") if path.name.endswith(".tmp") or path.name == "midway.pt"]
    if left:
        raise AssertionError(f"after {'; '.join(map(str, kills))}: left behind {left}")
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="runs, each killed one to three times (default 30)")
    parser.add_argument("--report", type=Path, required=True, help="Markdown file")
    given = parser.parse_args()
    lines = ["| seed | killed | ends as the whole run |", "|---|---|---|"]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        data, untouched = rendered(Path(name) / "data"), Path(name) / "whole"
        counts = whole(data, untouched)
        for seed in range(given.kills):
            kills, logs = drawn(seed, counts), Path(name) / f"{seed}"
            try:
                killed = trial(data, untouched, logs, kills)
                kills = [kill for kill, fired in zip(kills, killed, strict=True) if fired]
                said = "yes"
            except AssertionError as error:
                failed += 1
                said = f"NO: {str(error)[:300]!r}"
            lines.append(f"| {seed} | {'; '.join(map(str, kills))} | {said} |")
            print(lines[-1], flush=True)
            shutil.rmtree(logs, ignore_errors=True)
    given.report.write_text("\n".join(lines) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
