"""A Python with the project's modules imported, which forks for every script that it is asked to run.

    python tests/forks.py MODULE,...       a request is a line of JSON on stdin, an answer one on stdout

Importing takes longer than what most tests have to run. Nothing is computed before a fork: a copy of a process whose
OpenMP threads have started may hang.
"""

import atexit
import gc
import importlib
import json
import os
import random
import runpy
import signal
import sys
import threading
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import torch


def serve(requests, answers):
    """Answer until there are no more requests; returns in a forked child, too, with what it is to run."""
    for line in requests:
        request = json.loads(line)
        if "wait" in request:
            answer = {"status": os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])}
        else:
            pid = os.fork()
            if pid == 0:
                return request
            answer = {"pid": pid}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return None


def play(words, folder, out, err):
    """What `python WORDS` does in a process of its own."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    os.chdir(folder)
    # A shell's background job is started with SIGINT ignored, one under nohup with SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # A fresh Python's generators are seeded by the system, a copy's would all be the same.
    random.seed()
    np.random.seed()
    torch.seed()
    assert words[0] == "-m" or not words[0].startswith("-"), f"{words[0]} needs a Python of its own"
    if words[0] == "-m":
        sys.path[0] = str(folder)
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(words[0]).resolve().parent)
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def leave(script):
    """Run it and end as Python does, but for the slow clearing away of a thousand modules."""
    status = 0
    try:
        script()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main():
    sys.path[:0] = [str(Path(__file__).parents[1])]
    for name in sys.argv[1].split(","):
        importlib.import_module(name)
    gc.freeze()  # a child's collector leaves alone, and so shared, what is there already
    request = serve(sys.stdin, sys.stdout)
    leave(partial(play, **request) if request else sys.exit)


if __name__ == "__main__":
    main()
