"""`tokenmatcher COMMAND ...`, also `python -m tokenmatcher COMMAND ...`."""

from __future__ import annotations

import sys
from importlib import import_module

from tokenmatcher.cli import run
from tokenmatcher.datasets import DATASETS
from tokenmatcher.errors import UserError
from tokenmatcher.version import __version__

# Each has a module of its name in `tokenmatcher.commands`, whose `main` gets the rest of the line.
COMMANDS = {  # and the data set before it
    "prepare": "write the training copy of a raw data set, and count what is there",
    "train": "train a method on a data set",
    "test": "score a checkpoint by a data set's protocol",
}
TOOLS = {
    "calibrate": "measure from which similarity on two pictures show the same person",
    "export": "turn a checkpoint into ONNX, PyTorch or safetensors files",
    "index": "put a folder's pictures into an index",
    "report": "write an HTML page about runs: curves, scores, rank lists, clusters, what went wrong",
    "people": "draw rendered people in a data set's layout",
    "search": "find the pictures of an index that resemble a person",
    "serve": "search an index on a local page",
}


def usage() -> str:
    """What there is."""
    rows = {**{f"{command} DATASET": text for command, text in COMMANDS.items()}, **TOOLS}
    lines = [f"  {command:<18}{text}" for command, text in rows.items()]
    head = [
        "usage: tokenmatcher COMMAND ...",
        "       tokenmatcher --version",
        "flags: tokenmatcher train sysu --help, tokenmatcher export --help",
    ]
    return "\n".join([*head, "", data_sets(), "", *lines])


def data_sets() -> str:
    """What stands for DATASET."""
    return "data sets: " + "|".join([*(kind.name for kind in DATASETS), "FILE.csv", "FILE.py"])


def main() -> None:
    """Hand the rest of the line to a command.

    Raises:
        UserError: there is no such command, or it names no data set.
    """
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return
    if words[0] == "--version":
        print(f"tokenmatcher {__version__}")
        return
    command, *rest = words
    if command in TOOLS:
        import_module(f"tokenmatcher.commands.{command}").main(rest)
        return
    if command not in COMMANDS:
        raise UserError(f"{command}: no such command; there are {', '.join([*COMMANDS, *TOOLS])}")
    if not rest or rest[0] in ("-h", "--help"):
        print(f"usage: tokenmatcher {command} DATASET ...\nflags: tokenmatcher {command} sysu --help\n")
        print(f"{COMMANDS[command]}\n\n{data_sets()}")
        return
    if rest[0].startswith("-"):
        raise UserError(f"{command} {rest[0]}: the data set comes first, as in: tokenmatcher {command} sysu {rest[0]}")
    import_module(f"tokenmatcher.commands.{command}").main(rest[0], rest[1:])


def entry() -> None:
    """The console script."""
    run(main)


if __name__ == "__main__":
    entry()
