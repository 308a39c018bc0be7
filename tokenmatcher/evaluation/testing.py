"""From the flags of `test_sysu.py` and `test_regdb.py` to the protocol's table and JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from tokenmatcher.data.protocols import Benchmark, regdb_benchmark, sysu_benchmark
from tokenmatcher.data.records import REGDB_TRIALS, check_regdb_trial
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.evaluation.main import DIRECTIONS, MODES, WEIGHTS
from tokenmatcher.model.backbone import TokenViT
from tokenmatcher.model.files import load_file
from tokenmatcher.model.weights import build_model
from tokenmatcher.report.tables import METRICS, score_table
from tokenmatcher.runtime import choose_device, replacing

Scores = dict[str, dict[str, Any]]


def sysu(given: argparse.Namespace) -> None:
    """SYSU-MM01, all-search and indoor-search, mean of ten trials."""
    model, content = _load(given.resume)
    if content.get("dataset", "sysu") != "sysu":
        raise UserError(
            f"{given.resume}: was trained on {content['dataset']}; test it with test_{content['dataset']}.py"
        )
    benchmark = sysu_benchmark(given.data_dir, MODES[given.mode], given.shots)
    scores = _evaluate(model, benchmark, given)
    print(score_table(scores, f"SYSU-MM01, {given.shots}-shot"))
    _write(given.json, {"sysu": scores, "shots": given.shots, "checkpoint": str(given.resume)})


def regdb(given: argparse.Namespace) -> None:
    """RegDB, both directions, each trial with its own model."""
    wanted = DIRECTIONS if given.direction == "both" else (given.direction,)
    by_trial: dict[int, Scores] = {}
    for path in _checkpoints(given.resume, given.weights):
        model, content = _load(path)
        trial = _trial_of(path, content, given.trial)
        if trial in by_trial:
            raise UserError(f"{path}: a second model of trial {trial}")
        scores = _evaluate(model, regdb_benchmark(given.data_dir, trial), given, f"-trial{trial}")
        by_trial[trial] = {name: scores[name] for name in wanted}
    mean: Scores = {
        name: {
            **{metric: float(np.mean([scores[name][metric] for scores in by_trial.values()])) for metric in METRICS},
            "trials": [{"trial": t, **{m: scores[name][m] for m in METRICS}} for t, scores in by_trial.items()],
        }
        for name in wanted
    }
    weights = (given.weights or "last") if given.resume.is_dir() else None
    kind = f", {WEIGHTS[weights]}" if weights else ""
    print(score_table(mean, f"RegDB, trial {', '.join(map(str, by_trial))}{kind}"))
    if len(by_trial) < len(REGDB_TRIALS):
        print(f"note: the protocol is the mean over the ten trials' own models; this is {len(by_trial)} of them")
    _write(given.json, {"regdb": mean, "checkpoint": str(given.resume), "weights": weights})


def _load(path: Path) -> tuple[TokenViT, dict[str, Any]]:
    content = load_file(path)
    model, report = build_model(content, source=str(path))
    print(report)
    return model, content


def _evaluate(model: TokenViT, benchmark: Benchmark, given: argparse.Namespace, suffix: str = "") -> Scores:
    device = choose_device(given.device)
    evaluator = Evaluator(
        benchmark,
        height=model.config.height,
        width=model.config.width,
        store_dir=given.store_dir or given.data_dir / "store",
        device=device,
        progress=not given.no_progress,
        suffix=suffix,
    )
    return evaluator(model.to(device))


def _checkpoints(path: Path, weights: str | None) -> list[Path]:
    """The file itself, or stage 2's weights ("last", "best") of every trial in the folder, by number.

    Raises:
        UserError: a trial without them, no trial at all, or a choice of weights for a file.
    """
    if not path.is_dir():
        if weights is not None and path.exists():
            raise UserError(f"--weights {weights}: chooses within a folder of trials, and --resume {path} is none")
        return [path]
    stages = [path / f"trial_{trial}" / "stage2" for trial in REGDB_TRIALS]
    begun = [stage for stage in stages if any((stage / f"{kind}.pt").is_file() for kind in WEIGHTS)]
    found = [stage / f"{weights or 'last'}.pt" for stage in begun]
    if not found:
        raise UserError(f"--resume {path}: no trial_*/stage2/{weights or 'last'}.pt in this folder")
    if absent := [file for file in found if not file.is_file()]:
        raise UserError(f"--weights {weights or 'last'}: {absent[0]} is not there")
    return found


def _trial_of(path: Path, content: dict[str, Any], asked: int | None) -> int:
    """The split that the model was trained on; another one holds people that it has seen.

    Raises:
        UserError: unknown, or not the one asked for.
    """
    if content.get("dataset", "regdb") != "regdb":
        raise UserError(f"{path}: was trained on {content['dataset']}; test it with test_{content['dataset']}.py")
    own = content.get("trial")
    if own is None and asked is None:
        raise UserError(f"{path}: does not say which trial it was trained on; name it with --trial")
    if own is not None and asked is not None and own != asked:
        raise UserError(f"--trial {asked}: {path} was trained on trial {own}, whose people are in the test of {asked}")
    return check_regdb_trial(asked if own is None else own)


def _write(path: Path | None, result: dict[str, Any]) -> None:
    if path is None:
        return
    try:
        with replacing(path) as file:
            file.write(json.dumps(result, indent=1).encode() + b"\n")
    except OSError as error:
        raise UserError(f"--json {path}: cannot be written ({error})") from None
