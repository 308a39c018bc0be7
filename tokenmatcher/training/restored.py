"""Whether what a checkpoint holds fits what it is put into: a digest does not tell who made it.

Every function here raises ValueError, naming the part, before anything is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

# By kind of optimiser: what it gathers of each parameter.
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
GATHERED = {"sgd": {"momentum_buffer"}, "adam": _MOMENTS, "adamw": _MOMENTS}


def check_tensor(value: Any, like: Tensor, name: str) -> None:
    """A finite tensor of the shape and type of `like`."""
    if not isinstance(value, Tensor) or value.shape != like.shape or value.dtype != like.dtype:
        raise ValueError(f"{name}: expected {like.dtype} of shape {tuple(like.shape)}")
    if not value.isfinite().all():
        raise ValueError(f"{name}: not finite")


def check_tensors(values: Any, like: Mapping[str, Tensor], name: str) -> None:
    """A dictionary of tensors such as `like`, no more and no fewer."""
    if not isinstance(values, dict) or values.keys() != like.keys():
        raise ValueError(f"{name}: other keys")
    for key, value in values.items():
        check_tensor(value, like[key], f"{name} {key!r}")


def check_optimizer(state: Any, parameters: Sequence[Tensor], kind: str) -> None:
    """What an optimiser of a kind ("sgd", "adam", "adamw") has gathered of its parameters, as `state_dict` gives it."""
    gathered = state.get("state") if isinstance(state, dict) else None
    if not isinstance(gathered, dict):
        raise ValueError("optimiser: no state")
    for number, values in gathered.items():
        if type(number) is not int or not 0 <= number < len(parameters):
            raise ValueError(f"optimiser: no parameter {number!r}")
        like = {name: torch.zeros(()) if name == "step" else parameters[number] for name in GATHERED[kind]}
        check_tensors(values, like, f"optimiser, parameter {number}")
        if "step" in values and values["step"] < 1:
            raise ValueError("optimiser: no step done")


def check_run(run: Any, parts: int) -> None:
    """The `run` part of a checkpoint between epochs, but its optimiser, weights, generators and the method's state.

    Args:
        parts: stages that the method has of that name.
    """
    if parts == 0:
        raise ValueError("stage")
    for name in ("part", "epoch", "records", "seed"):
        if type(run.get(name)) is not int or run[name] < 0:
            raise ValueError(name)
    if run["part"] > parts:
        raise ValueError("part")
    if type(run.get("best")) not in (int, float) or not abs(run["best"]) <= 2:
        raise ValueError("best")
