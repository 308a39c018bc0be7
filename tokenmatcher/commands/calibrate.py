"""`tokenmatcher calibrate`: its flags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenmatcher.cli import Parser, add_machine_flags, count, rate, seed
from tokenmatcher.errors import SettingError


def parser() -> Parser:
    """All flags of the calibration."""
    made = Parser(
        "Measure from which similarity on two pictures show the same person, by pair of modalities, and leave it "
        "beside the checkpoint."
    )
    made.add_argument("--checkpoint", type=Path, required=True, help="our checkpoint, or the authors'")
    made.add_argument(
        "--dataset", metavar="NAME|FILE.csv", help="whose pictures to measure (default: what the checkpoint names)"
    )
    made.add_argument("--data-dir", type=Path, help="its folder (default: the data set's own)")
    made.add_argument("--trial", type=int, help="the split, of a data set with trials (default: the checkpoint's)")
    made.add_argument(
        "--false-accept",
        type=rate,
        nargs="+",
        default=[0.1, 0.01, 0.001],
        metavar="RATE",
        help="share of pairs of two people taken for one (default 0.1 0.01 0.001)",
    )
    made.add_argument(
        "--images", type=count, default=3000, help="of each modality, drawn where there are more (default %(default)s)"
    )
    made.add_argument("--draws", type=count, default=200, help="of people, for the intervals (default %(default)s)")
    made.add_argument("--seed", type=seed, default=0, help="of what is drawn (default %(default)s)")
    made.add_argument("--output", "-o", type=Path, help="(default: CHECKPOINT with the ending .threshold.json)")
    made.add_argument("--store-dir", type=Path, help="decoded images (default: beside the data)")
    add_machine_flags(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Calibrate as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    given = parser().called("calibrate").parse_args(arguments)
    for name, least in (("images", 2), ("draws", 1)):
        if getattr(given, name) < least:
            raise SettingError(f"{{{name}}} must be at least {least}")
    given.false_accept = sorted(set(given.false_accept), reverse=True)

    from tokenmatcher.commands.calibrating import calibrate

    calibrate(given)
