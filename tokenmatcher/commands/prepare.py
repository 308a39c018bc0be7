"""`tokenmatcher prepare`, `prepare_sysu.py`, `prepare_regdb.py`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenmatcher.blame import returned
from tokenmatcher.cli import Parser, add_data_dir
from tokenmatcher.datasets import find_dataset
from tokenmatcher.datasets.summary import Summary


def main(dataset: str, arguments: Sequence[str] | None = None) -> None:
    """Write what training reads into the raw tree's folder, and print what was found there.

    Raises:
        UserError: the tree is not as it should be; nothing is half-written.
    """
    data = find_dataset(dataset)
    parser = Parser(f"Write {data.title}'s training copy into its folder and print what was found there.").called(
        f"prepare {dataset}"
    )
    add_data_dir(parser, data, "folder of the raw data set")
    summary: Summary = returned(data.prepare, data.prepare(parser.parse_args(arguments).data_dir), Summary)
    print(summary.table())
