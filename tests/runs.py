"""Flags of a run that takes seconds, and what is read of it."""

import json

from scripts import call

SMALL = {
    "preset": "demo", "device": "cpu", "pretrained-path": "none", "height": 32, "width": 16, "patch-size": 8,
    "embed-dim": 16, "depth": 1, "num-heads": 2, "stem-channels": 4, "batch-size": 16, "num-instances": 4, "epochs": 2,
    "iters": 3, "k1": 6, "k2": 2, "min-samples": 2, "eps": 0.7, "eval-start": 0,
}  # fmt: skip
SMALL = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))] + ["--no-progress"]
CAMERA = {
    "epochs-visible": 2, "epochs-infrared": 1, "keep-from": 0, "iters": 2, "batch-size": 16, "eps": 0.7, "k1": 6,
    "k2": 2,
}  # fmt: skip
CAMERA = [word for name, value in CAMERA.items() for word in (f"--camera-{name}", str(value))]


def refused(*arguments):
    """Exit status 2, one line on stderr, no traceback; returns the line."""
    done = call(*arguments, check=False)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def entries(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
        line.pop("images_per_second", None)
    return lines
