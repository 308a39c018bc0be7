"""What a line of log.jsonl, and a run's flags, must hold to be read; checked once, so that nothing else has to.

A method may log whatever it likes beside this: numbers, words and groups of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tokenmatcher.report.tables import METRICS

DEEPEST = 8  # groups within groups
FLAGS: Mapping[str, type] = {
    "dataset": str, "method": str, "matcher": str, "preset": str, "data_dir": str, "pretrained_path": str, "seed": int,
    "trial": int,
}  # fmt: skip
KINDS = {str: "text", int: "a whole number"}


def demand_epoch(values: Any) -> None:
    """One line of a log.

    Raises:
        ValueError: it is no epoch, or something of it is not what it must be; names that.
    """
    if not isinstance(values, dict):
        raise ValueError("no epoch")
    stage, camera = values.get("stage"), values.get("camera")
    if not isinstance(stage, str | int) or type(values.get("epoch")) is not int or not isinstance(camera, int | None):
        raise ValueError("no epoch (stage, epoch)")
    _demand_finite("", values)
    for name, own in _groups(values, "labels"):
        for part in ("clusters", "outliers"):
            _demand(type(own.get(part)) is int, f"{name}.{part}", own.get(part), "a whole number")
        for part in ("ari", "nmi"):
            _demand_number(f"{name}.{part}", own.get(part), needed=False)
    match = values.get("match", {})
    _demand(isinstance(match, dict), "match", match, "a group")
    for part in ("right", "matchable"):
        _demand_number(f"match.{part}", match.get(part), needed=False)
    for name, own in _groups(values, "scores"):
        trials = own.get("trials", [])
        _demand(isinstance(trials, list) and all(isinstance(one, dict) for one in trials), f"{name}.trials", trials,
                "a list of groups")  # fmt: skip
        for one in (own, *trials):
            for part in METRICS:
                _demand_number(f"{name}.{part}", one.get(part))
    _demand(isinstance(values.get("notes", []), list), "notes", values.get("notes"), "a list")


def demand_flags(flags: Mapping[str, Any]) -> None:
    """What a run was started with.

    Raises:
        ValueError: one of `FLAGS` is of another kind; names it.
    """
    for name, kind in FLAGS.items():
        value = flags.get(name)
        _demand(value is None or type(value) is kind, f"run.{name}", value, KINDS[kind])
    seed = flags.get("seed") or 0
    _demand(0 <= seed < 2**63, "run.seed", seed, "a seed")


def _groups(values: Mapping[str, Any], name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Of a group of groups each with its path."""
    found = values.get(name, {})
    _demand(isinstance(found, dict), name, found, "a group")
    for inner, own in found.items():
        _demand(isinstance(own, dict), f"{name}.{inner}", own, "a group")
    return [(f"{name}.{inner}", own) for inner, own in found.items()]


def _demand_finite(name: str, value: Any, depth: int = 0) -> None:
    """Numbers that fit into a float, in groups that are not too deep."""
    if depth > DEEPEST:
        raise ValueError(f"{name}: groups within groups, more than {DEEPEST}")
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            _demand_finite(f"{name}.{key}".lstrip("."), item, depth + 1)
    elif isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            raise ValueError(f"{name}: a number of {len(str(value))} digits") from None


def _demand_number(name: str, value: Any, *, needed: bool = True) -> None:
    fits = isinstance(value, int | float) and math.isfinite(value)
    _demand(fits or (value is None and not needed), name, value, "a number")


def _demand(condition: bool, name: str, value: Any, kind: str) -> None:
    if not condition:
        raise ValueError(f"{name} is {_short(value)}, not {kind}")


def _short(value: Any) -> str:
    text = "absent" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
