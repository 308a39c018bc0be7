"""The project's scripts as a user calls them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HANGING = 1800  # seconds after which a script is taken to hang; none of them needs a tenth of it on a slow machine
# The caller's number of threads, one if there is none: with another number sums come in another order, and whoever
# compares two runs bit for bit needs the same for both.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", **os.environ}
IMPORTED = (
    "tokenmatcher.commands.training,tokenmatcher.commands.testing,tokenmatcher.commands.prepare,tokenmatcher.people,"
    "tokenmatcher.commands.exporting,tokenmatcher.commands.calibrating,tokenmatcher.commands.galleries,"
    "tokenmatcher.commands.searching,tokenmatcher.commands.reporting,"
    "torch.utils.tensorboard"
)

limits_memory = pytest.mark.skipif(
    not Path("/proc/self/statm").is_file(), reason="/proc/self/statm says how much memory a process holds"
)


def call(*arguments, check=True, fresh=False):
    """Run `python ARGUMENTS` from the project's folder; with `check` it must succeed.

    Args:
        fresh: in a Python of its own, as a user does, not in a copy of one that has imported everything.
    """
    words = list(map(str, arguments))
    done = python(words) if fresh else Forked(words).wait()
    if check:
        assert done.returncode == 0, done.stderr
    return done


def python(words):
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=HANGING, env=ENVIRONMENT
    )


class Forked:
    """`python WORDS` in a copy of one that has imported everything, begun and not yet waited for."""

    def __init__(self, words):
        self.words, self.files = words, tempfile.TemporaryDirectory()
        self.out, self.err = (Path(self.files.name) / name for name in ("out", "err"))
        for path in (self.out, self.err):
            path.touch()
        request = {"words": words, "folder": str(ROOT), "out": str(self.out), "err": str(self.err)}
        self.pid = ask(request)["pid"]
        self.guard = threading.Timer(HANGING, os.kill, (self.pid, signal.SIGKILL))
        self.guard.start()

    def wait(self):
        status = ask({"wait": self.pid})["status"]
        self.guard.cancel()
        said = [path.read_text() for path in (self.out, self.err)]
        self.files.cleanup()
        return subprocess.CompletedProcess([sys.executable, *self.words], status, *said)


@cache
def forking():
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "forks.py"), IMPORTED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def ask(request):
    server = forking()
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    assert answer, f"tests/forks.py has ended with status {server.wait()}"
    return json.loads(answer)
