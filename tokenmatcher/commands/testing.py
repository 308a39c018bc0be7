"""From the flags of a test to the protocol's table and JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tokenmatcher.cli import bars
from tokenmatcher.commands.config import WEIGHTS
from tokenmatcher.datasets import DATASETS
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.datasets.protocols import Benchmark
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.files import replacing
from tokenmatcher.machine import Machine
from tokenmatcher.models.base import Network
from tokenmatcher.models.files import load_file
from tokenmatcher.models.weights import build_model
from tokenmatcher.report.tables import METRICS, score_table

Scores = dict[str, dict[str, Any]]


def test(given: argparse.Namespace, dataset: Dataset) -> None:
    """One model, or of a data set with trials each trial's own."""
    options = {name: getattr(given, name) for name in dataset.options}
    if dataset.trials is None:
        benchmark = dataset.tested(given.data_dir, options=options) if dataset.in_one_file else None  # read by now
        network, content = _load(given.resume, dataset)
        benchmark = benchmark or dataset.tested(given.data_dir, options=options)
        scores = _evaluate(network, benchmark, given, dataset)
        shots = f", {options['shots']}-shot" if "shots" in options else ""
        print(score_table(scores, f"{dataset.title}{shots}"))
        if rules := dataset.test_rules(options):
            print(rules)
        _write(given.json, {**options, "checkpoint": str(given.resume), dataset.name: scores})
        return
    by_trial: dict[int, Scores] = {}
    for path in _checkpoints(given.resume, given.weights, dataset.trials):
        network, content = _load(path, dataset)
        trial = trial_of(path, content, given.trial, dataset)
        if trial in by_trial:
            raise UserError(f"{path}: a second model of trial {trial}")
        benchmark = dataset.tested(given.data_dir, trial, options)
        by_trial[trial] = _evaluate(network, benchmark, given, dataset, f"-trial{trial}")
    mean = _mean(by_trial)
    weights = (given.weights or "last") if given.resume.is_dir() else None
    kind = f", {WEIGHTS[weights]}" if weights else ""
    print(score_table(mean, f"{dataset.title}, trial {', '.join(map(str, by_trial))}{kind}"))
    if len(by_trial) < len(dataset.trials):
        print(
            f"note: the protocol is the mean over the {len(dataset.trials)} trials' own models; this is "
            f"{len(by_trial)} of them"
        )
    _write(given.json, {"checkpoint": str(given.resume), "weights": weights, dataset.name: mean})


def _mean(by_trial: Mapping[int, Scores]) -> Scores:
    """Over the trials, which stand beside it."""
    protocols = next(iter(by_trial.values()))
    return {
        name: {
            **{metric: float(np.mean([scores[name][metric] for scores in by_trial.values()])) for metric in METRICS},
            "trials": [{"trial": t, **{m: scores[name][m] for m in METRICS}} for t, scores in by_trial.items()],
        }
        for name in protocols
    }


def _load(path: Path, dataset: Dataset) -> tuple[Network, dict[str, Any]]:
    content = load_file(path)
    network, report = build_model(content, source=str(path))
    print(report)
    if not dataset.in_one_file and (own := content.get("dataset", dataset.name)) != dataset.name:
        known = any(kind.name == own for kind in DATASETS)
        hint = f"; test it with: python -m tokenmatcher test {own}" if known else ""
        raise UserError(f"{path}: was trained on {own}, not on {dataset.name}{hint}")
    return network, content


def _evaluate(
    network: Network, benchmark: Benchmark, given: argparse.Namespace, dataset: Dataset, suffix: str = ""
) -> Scores:
    machine = Machine.chosen(given.device, "fp32", progress=bars(given.no_progress))
    evaluator = Evaluator(
        benchmark,
        machine,
        height=network.config.height,
        width=network.config.width,
        store_dir=given.store_dir or dataset.store_dir(given.data_dir),
        suffix=suffix,
    )
    return evaluator(network.to(machine.device))


def _checkpoints(path: Path, weights: str | None, trials: range) -> list[Path]:
    """The file itself, or stage 2's weights ("last", "best") of every trial in the folder, by number.

    Raises:
        SettingError: a trial without them, no trial at all, or a choice of weights for a file.
    """
    which = weights or "last"
    if not path.is_dir():
        if weights is not None and path.exists():
            raise SettingError(
                "{weights} {which}: chooses within a folder of trials, and {resume} {path} is none",
                which=which,
                path=path,
            )
        return [path]
    stages = [path / f"trial_{trial}" / "stage2" for trial in trials]
    begun = [stage for stage in stages if any((stage / f"{kind}.pt").is_file() for kind in WEIGHTS)]
    found = [stage / f"{which}.pt" for stage in begun]
    if not found:
        raise SettingError("{resume} {path}: no trial_*/stage2/{which}.pt in this folder", path=path, which=which)
    if absent := [file for file in found if not file.is_file()]:
        raise SettingError("{weights} {which}: {file} is not there", which=which, file=absent[0])
    return found


def trial_of(path: Path, content: Mapping[str, Any], asked: int | None, dataset: Dataset) -> int:
    """The split that the model was trained on; another one holds people that it has seen.

    Raises:
        SettingError: unknown, or not the one asked for.
    """
    own = content.get("trial")
    if own is None and asked is None:
        raise SettingError("{path}: does not say which trial it was trained on; name it with {trial}", path=path)
    if own is not None and asked is not None and own != asked:
        raise SettingError(
            f"{{trial}} {asked}: {{path}} was trained on trial {own}, whose people are in the test of {asked}",
            path=path,
        )
    trial = dataset.check_trial(asked if own is None else own)
    assert trial is not None
    return trial


def _write(path: Path | None, result: dict[str, Any]) -> None:
    if path is None:
        return
    try:
        with replacing(path) as file:
            file.write(json.dumps(result, indent=1).encode() + b"\n")
    except OSError as error:
        raise SettingError("{json} {path}: cannot be written ({error})", path=path, error=error) from None
