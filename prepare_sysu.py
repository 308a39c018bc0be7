"""Write SYSU-MM01's training copy (rgb_modify/, ir_modify/) into its folder and print what was found there."""

from pathlib import Path

from tokenmatcher.cli import Parser, run
from tokenmatcher.data.prepare import prepare_sysu


def main() -> None:
    parser = Parser(__doc__ or "")
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data/sysu"), help="folder of the raw data set (default: %(default)s)"
    )
    print(prepare_sysu(parser.parse_args().data_dir).table())


if __name__ == "__main__":
    run(main)
