"""One step of training, the same for every stage, and the losses of an epoch's steps.

Legend: B images of a modality in a batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tokenmatcher.blame import place_of, returned
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.images.batches import Batch
from tokenmatcher.machine import Machine
from tokenmatcher.methods.base import Objective, View, Views
from tokenmatcher.recipe import ScheduleConfig
from tokenmatcher.training.restored import check_optimizer, check_tensor

GRADIENT = "gradient"  # stands among the terms: the norm of a step's gradient


class NotFinite(Exception):
    """A loss or gradient is not finite, and so is the model by now: do not save it.

    Args:
        step: of its epoch, from 0, where it began.
        terms: the losses that were not finite there; where all were, GRADIENT.
    """

    def __init__(self, step: int, terms: list[str]) -> None:
        super().__init__(step, terms)
        self.step, self.terms = step, terms

    def __str__(self) -> str:
        losses = [name for name in self.terms if name != GRADIENT]
        what = f"loss {', '.join(losses)}" if losses else "the gradient of finite losses"
        return f"{what} is not finite at step {self.step + 1}"


class Losses:
    """The terms of an epoch's steps so far, still on the device."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []
        self._checked = 0

    def check(self) -> float:
        """The latest total; waits for the device.

        Raises:
            NotFinite: in a step since the last call.
        """
        latest = self.steps[self._checked :]
        if not latest:
            return float(self.steps[-1]["total"])
        finite = torch.stack([torch.stack(list(terms.values())).isfinite().all() for terms in latest]).tolist()
        if not all(finite):
            step = finite.index(False)
            terms = [name for name, value in latest[step].items() if not value.isfinite()]
            raise NotFinite(self._checked + step, terms)
        self._checked = len(self.steps)
        return float(self.steps[-1]["total"])

    def means(self) -> dict[str, float]:
        """Of each term, over the steps in which it occurred; waits for the device."""
        return {name: values.mean().item() for name, (_, values) in self.state().items()}

    def state(self) -> dict[str, tuple[Tensor, Tensor]]:
        """By name: the steps in which a term occurred, and its values."""
        found: dict[str, tuple[list[int], list[Tensor]]] = {}
        for step, terms in enumerate(self.steps):
            for name, value in terms.items():
                steps, values = found.setdefault(name, ([], []))
                steps.append(step)
                values.append(value)
        return {name: (torch.tensor(steps), torch.stack(values)) for name, (steps, values) in found.items()}

    @classmethod
    def restored(cls, state: Any, most: int, device: torch.device) -> Losses:
        """From `state`, of at most `most` steps.

        Raises:
            ValueError: it is no such state.
        """
        losses = cls()
        if not isinstance(state, dict) or not isinstance(state.get("total"), tuple):
            raise ValueError("losses")
        done = len(state["total"][0])
        if not 0 < done <= most:
            raise ValueError(f"losses of {done} steps")
        losses.steps = [{} for _ in range(done)]
        for name, (steps, values) in state.items():
            check_tensor(steps, torch.empty(len(steps), dtype=torch.int64), f"steps of {name!r}")
            check_tensor(values, torch.empty(len(steps)), f"loss {name!r}")
            if len(steps) and not 0 <= int(steps.min()) <= int(steps.max()) < done:
                raise ValueError(f"steps of {name!r}")
            for step, value in zip(steps.tolist(), values.to(device).unbind(), strict=True):
                losses.steps[step][name] = value
        if any(not {"total", GRADIENT} <= terms.keys() for terms in losses.steps):
            raise ValueError("losses")
        losses._checked = done
        return losses


def make_optimizer(model: nn.Module, config: ScheduleConfig) -> torch.optim.Optimizer:
    """The optimiser of one stage over the parameters that train; `set_learning_rate` gives it its rate."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = parameters[0].is_cuda
    if config.optimizer != "sgd":
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
        return kind(parameters, lr=0.0, weight_decay=config.weight_decay, fused=fused)
    return torch.optim.SGD(
        parameters, lr=0.0, momentum=config.sgd_momentum, weight_decay=config.weight_decay, fused=fused
    )


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], kind: str) -> None:
    """Take up what a saved optimiser of this kind had gathered; its numbers, such as the weight decay, stay.

    Raises:
        ValueError: that does not fit the parameters; nothing is changed.
    """
    check_optimizer(state, [parameter for group in optimizer.param_groups for parameter in group["params"]], kind)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state["state"]})


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def forward(model: nn.Module, batch: Batch, machine: Machine) -> Views:
    """One pass of all modalities through the shared blocks, cut into views of the whole batch, in float32."""
    images = {modality: batch.images.get(modality) for modality in Modality}
    with machine.autocast():
        output = model(images[Modality.VISIBLE], images[Modality.INFRARED], batch.depth_draws)
    views, start = {}, 0
    for modality in (Modality.VISIBLE, Modality.INFRARED):
        if modality in batch.images:
            end = start + len(batch.images[modality])
            features, tokens = (
                machine.team.all_gather_rows(values[start:end]) for values in (output.features, output.tokens)
            )
            views[modality] = View(features, tokens, batch.index[modality])
            start = end
    return views


def train_step(
    model: nn.Module,
    objective: Objective,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    machine: Machine,
) -> dict[str, Tensor]:
    """Forward, backward, optimiser, memories; returns the terms, `total` and GRADIENT, detached, on the device."""
    views = forward(model, batch, machine)
    terms = objective.losses(views)
    total = _total(objective, terms)
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    optimizer.step()
    objective.update(views)
    return {**{name: term.detach() for name, term in terms.items()}, "total": total.detach(), GRADIENT: norm}


def _total(objective: Objective, terms: Any) -> Tensor:
    """The weighted sum of the terms.

    Raises:
        UserError: they are not scalars by name, each with a weight; blames the objective's file.
    """
    wrong = "" if returned(objective.losses, terms, dict) else "no loss term"
    for name, term in terms.items():
        if name not in objective.weights:
            wrong = f"loss term {name!r} has no weight"
        elif not isinstance(term, Tensor):
            wrong = f"loss term {name!r} must be a tensor, not {type(term).__name__}"
        elif term.ndim:
            wrong = f"loss term {name!r} must be a scalar, not of shape {tuple(term.shape)}"
    if wrong:
        raise UserError(f"{place_of(objective.losses)}: {wrong}")
    return torch.stack([objective.weights[name] * term for name, term in terms.items()]).sum()
