"""`tokenmatcher test`, `test_sysu.py`, `test_regdb.py`: their flags."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tokenmatcher.cli import Parser, add_data_dir, add_machine_flags, file
from tokenmatcher.commands.config import WEIGHTS
from tokenmatcher.datasets import find_dataset
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.errors import SettingError, flag


def parser_for(dataset: Dataset) -> Parser:
    """All flags of the test on a data set."""
    parser = Parser(f"Test a model on {dataset.title} by its published protocol.")
    many = dataset.trials is not None
    resume = "our checkpoint, or the authors' model_best.pth.tar"
    parser.add_argument(
        "--resume",
        type=file,
        required=True,
        help="a checkpoint, or a folder with trial_1, trial_2, ... as training leaves it" if many else resume,
    )
    add_data_dir(parser, dataset, "raw data set")
    parser.add_argument("--store-dir", type=Path, help="decoded test images (default: beside the data)")
    parser.add_argument("--json", type=Path, help="write the scores to this file as well, as fractions 0..1")
    add_machine_flags(parser)
    for name, option in dataset.options.items():
        parser.add_argument(
            flag(name),
            type=type(option.default),
            choices=option.choices or None,
            default=option.default,
            help=f"{option.help} (default %(default)s)",
        )
    if many:
        parser.add_argument(
            "--weights",
            choices=tuple(WEIGHTS),
            help="of each trial in a folder: last epoch, or best on the test set, as published (default last)",
        )
        parser.add_argument("--trial", type=int, help="the split of a model that does not know its own (the authors')")
    return parser


def main(dataset: str, arguments: Sequence[str] | None = None) -> None:
    """Test as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    data = find_dataset(dataset)
    given = parser_for(data).called(f"test {dataset}").parse_args(arguments)
    check_writable(given.json)

    from tokenmatcher.commands.testing import test

    test(given, data)


def check_writable(path: Path | None, name: str = "json") -> None:
    """Before the work, not after it; `name` is the flag's.

    Raises:
        SettingError: no file can be written there.
    """
    if path is None:
        return
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.exists() and not path.is_dir() and not path.is_file():
        raise SettingError(f"{{{name}}} {{path}}: is no regular file", path=path)
    if not path.name or path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SettingError(f"{{{name}}} {{path}}: no file can be written there", path=path)
