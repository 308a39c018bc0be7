"""Run a script of the project and send its process a signal at the N-th time that it comes to a certain point.

    python tests/chaos/killed.py POINT N SIGNAL script.py ...
    python tests/chaos/killed.py count FILE - script.py ...       how often each point is come to, as JSON

The script is run as it is; functions of the modules it uses are wrapped.
"""

import io
import json
import os
import runpy
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRED = "killed at the point asked for"
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from tokenmatcher.methods import camera, labelling, tokenmatcher  # noqa: E402
from tokenmatcher.report import log  # noqa: E402
from tokenmatcher.training import trainer  # noqa: E402

BEFORE = {
    "a step": (trainer, "train_step"),
    "extraction": (trainer, "extract"),
    "clustering": (labelling, "pseudo_labels"),
    "a camera's clustering": (camera, "cluster"),
    "mining": (tokenmatcher, "joint_targets"),
    "a checkpoint is written": (torch, "save"),
    "a file is flushed to disk": (os, "fsync"),
    "a file is renamed": (Path, "replace"),
    "an epoch is logged": (log.JsonLines, "on_epoch"),
}
AFTER = {
    "a step": BEFORE["a step"],
    "a file is renamed": BEFORE["a file is renamed"],
    "an epoch is logged": BEFORE["an epoch is logged"],
}
POINTS = [
    *(f"before {name}" for name in BEFORE),
    *(f"after {name}" for name in AFTER),
    "half a checkpoint is written",
    "half a line is logged",
]


def wrap(reach):
    """`reach(point)` is called at each point."""

    def around(owner, name, points):
        original = getattr(owner, name)

        def wrapped(*arguments, **options):
            for point in points:
                if point.startswith("before"):
                    reach(point)
            result = original(*arguments, **options)
            for point in points:
                if point.startswith("after"):
                    reach(point)
            return result

        setattr(owner, name, wrapped)

    for what, (owner, name) in BEFORE.items():
        around(owner, name, [f"before {what}"] + [f"after {what}"] * (what in AFTER))

    save, dumps = torch.save, json.dumps

    def save_by_halves(content, file):
        whole = io.BytesIO()
        save(content, whole)
        half = len(whole.getvalue()) // 2
        file.write(whole.getvalue()[:half])
        file.flush()
        reach("half a checkpoint is written")
        file.write(whole.getvalue()[half:])

    class ByHalves:
        """What `log` knows as json: a line goes into the file in two pieces."""

        @staticmethod
        def dumps(entry):
            line = dumps(entry)
            if isinstance(entry, dict) and "epoch" in entry:
                with current.lines.open("a", encoding="utf-8") as file:
                    file.write(line[: len(line) // 2])
                reach("half a line is logged")
                return line[len(line) // 2 :]
            return line

    current = None
    init = log.JsonLines.__init__

    def remember(self, *arguments, **options):
        nonlocal current
        init(self, *arguments, **options)
        current = self

    torch.save, log.json, log.JsonLines.__init__ = save_by_halves, ByHalves, remember


def main():
    point, number, name, *command = sys.argv[1:]
    sys.argv = command
    reached, lock = Counter(), threading.Lock()
    if point == "count":
        wrap(lambda at: reached.update([at]))
    else:

        def reach(at):
            with lock:
                reached[at] += 1
                due = at == point and reached[at] == int(number)
            if due:
                print(FIRED, file=sys.stderr, flush=True)
                os.kill(os.getpid(), getattr(signal, name))

        wrap(reach)
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        if point == "count":
            Path(number).write_text(json.dumps(reached))


if __name__ == "__main__":
    main()
