"""From the flags of a calibration to thresholds in a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tokenmatcher.commands.sides import Measured, sides_of
from tokenmatcher.commands.test import check_writable
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.evaluation.calibration import PAIRS, Calibration, Origin, PairCalibration, file_beside, pair_name
from tokenmatcher.evaluation.threshold import CERTAINTY, operating_points, pairs_of
from tokenmatcher.models.digest import digest_of
from tokenmatcher.models.files import load_file
from tokenmatcher.models.weights import build_model
from tokenmatcher.report.tables import table


def calibrate(given: argparse.Namespace) -> None:
    """Measure, print, write.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    content = load_file(given.checkpoint)
    network, report = build_model(content, source=str(given.checkpoint))
    print(report)
    path = given.output or file_beside(given.checkpoint)
    check_writable(path, "output")
    if given.output:
        check_replaceable(path)
    measured = sides_of(given, content, network)
    images = {str(m): len(measured.sides[m].people) for m in Modality}
    origin = Origin(measured.dataset, measured.trial, images, given.draws, given.seed)
    print(f"pairs by {measured.source}; {origin}")
    if not measured.certain:
        print("note: a cluster is of pictures that look alike, so true accepts look better than they are")
    pairs = _measured_pairs(given, measured)
    found = Calibration(digest_of(network.state_dict()), measured.source, pairs, origin)
    print(shown(found, given.false_accept))
    found.write(path)
    print(f"written: {path}")


def check_replaceable(path: Path) -> None:
    """A calibration takes the place of a former one alone.

    Raises:
        SettingError: there is another file.
    """
    if not path.exists():
        return
    if path.is_file():
        with suppress(UserError):
            Calibration.read(path)
            return
    raise SettingError("{output} {path}: there is a file that is no calibration", path=path)


def _measured_pairs(given: argparse.Namespace, measured: Measured) -> dict[str, PairCalibration]:
    pairs = {}
    for one, other in PAIRS:
        second = None if one is other else measured.sides[other]
        genuine, impostor = pairs_of(measured.sides[one], second, excluded_cameras=measured.same_place)
        if not len(genuine) or not len(impostor):
            lacking = "no two cameras see the same person" if len(impostor) else "no two people are seen by two cameras"
            drawn = f" in the --images {given.images} that were drawn" if measured.left_out else ""
            print(f"{pair_name(one, other)}: {lacking}{drawn}, nothing to measure")
            continue
        points = operating_points(genuine, impostor, given.false_accept, draws=given.draws, seed=given.seed)
        pairs[pair_name(one, other)] = PairCalibration(len(genuine), len(impostor), tuple(points))
    if not pairs and measured.left_out:
        raise SettingError("{images} {count}: too few to measure a threshold with", count=given.images)
    if not pairs:
        raise UserError(f"{given.checkpoint}: no pair of pictures to measure a threshold with")
    if not any(pair.points for pair in pairs.values()):
        raise SettingError(
            "{false_accept} {rates}: {most} impostor pairs are too few to measure a threshold with"
            + (", more {images} give more" if measured.left_out else ""),
            rates=" ".join(f"{rate:g}" for rate in given.false_accept),
            most=max(pair.impostor for pair in pairs.values()),
        )
    return pairs


def shown(found: Calibration, asked: Sequence[float]) -> str:
    """A table, and a line for each rate that there were too few pairs for."""
    rows, short = [], []
    for name, pair in found.pairs.items():
        rows += [
            [
                name, str(pair.genuine), str(pair.impostor), f"{point.false_accept:g}",
                f"{point.threshold:.3f} ({point.low:.3f} to {point.high:.3f})",
                f"{100 * point.true_accept:.1f} % ({100 * point.true_low:.1f} to {100 * point.true_high:.1f})",
            ]
            for point in pair.points
        ]  # fmt: skip
        measured = {point.false_accept for point in pair.points}
        short += [f"{name}: {pair.impostor} impostor pairs are too few for {r:g}" for r in asked if r not in measured]
    head = ["pair", "genuine", "impostor", "false accepts", f"threshold ({CERTAINTY:.0%})", "true accepts"]
    return "\n".join([table(head, rows), *short])
