"""From the flags of a calibration to thresholds in a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tokenmatcher.commands.sides import sides_of
from tokenmatcher.commands.test import check_writable
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.calibration import PAIRS, Calibration, PairCalibration, file_beside, pair_name
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
    measured = sides_of(given, content, network)
    print(f"pairs by {measured.source}")
    if not measured.certain:
        print("note: a cluster is of pictures that look alike, so true accepts look better than they are")
    pairs = {}
    for one, other in PAIRS:
        second = None if one is other else measured.sides[other]
        genuine, impostor = pairs_of(measured.sides[one], second, excluded_cameras=measured.same_place)
        if not len(genuine) or not len(impostor):
            print(f"{pair_name(one, other)}: no two cameras see the same person, nothing to measure")
            continue
        points = operating_points(genuine, impostor, given.false_accept, draws=given.draws, seed=given.seed)
        pairs[pair_name(one, other)] = PairCalibration(len(genuine), len(impostor), tuple(points))
    if not pairs:
        raise UserError(f"{given.checkpoint}: no pair of pictures to measure a threshold with")
    found = Calibration(digest_of(network.state_dict()), measured.source, pairs)
    print(shown(found, given.false_accept))
    found.write(path)
    print(f"written: {path}")


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
