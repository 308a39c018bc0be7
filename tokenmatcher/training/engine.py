"""One epoch of training, the same for every stage.

Legend: B images of a modality in a batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tokenmatcher.contracts import Modality
from tokenmatcher.data.batches import Batch
from tokenmatcher.distributed import ALONE, Team
from tokenmatcher.errors import UserError
from tokenmatcher.presets import ScheduleConfig
from tokenmatcher.runtime import autocast
from tokenmatcher.training.objectives import Objective, View, Views

CHECK_EVERY = 10  # steps between looks at the loss, each of which waits for the device


Losses = dict[str, list[Tensor]]  # the terms of each step so far, by name


@dataclass(frozen=True)
class EpochResult:
    """losses: mean of each term over the steps in which it occurred, unweighted; `total` weighted."""

    losses: dict[str, float]
    images_per_second: float


def make_optimizer(model: nn.Module, config: ScheduleConfig) -> torch.optim.Optimizer:
    """The optimiser of one stage over the parameters that train; `set_learning_rate` gives it its rate."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = parameters[0].is_cuda
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=0.0, weight_decay=config.weight_decay, fused=fused)
    return torch.optim.SGD(
        parameters, lr=0.0, momentum=config.sgd_momentum, weight_decay=config.weight_decay, fused=fused
    )


def cosine(epoch: int, epochs: int, highest: float, lowest: float) -> float:
    """Learning rate of `epoch`, counted from 0, on half a cosine over `epochs` (Loshchilov & Hutter, ICLR 2017)."""
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def forward(model: nn.Module, batch: Batch, team: Team = ALONE, precision: str = "fp32") -> Views:
    """One pass of all modalities through the shared blocks, cut into views of the whole batch, in float32."""
    images = {modality: batch.images.get(modality) for modality in Modality}
    with autocast(next(iter(batch.images.values())).device, precision):
        output = model(images[Modality.VISIBLE], images[Modality.INFRARED], batch.depth_draws)
    views, start = {}, 0
    for modality in (Modality.VISIBLE, Modality.INFRARED):
        if modality in batch.images:
            end = start + len(batch.images[modality])
            features, tokens = (team.join_batch(values[start:end]) for values in (output.features, output.tokens))
            views[modality] = View(features, tokens, batch.index[modality])
            start = end
    return views


def train_step(
    model: nn.Module,
    objective: Objective,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    team: Team = ALONE,
    precision: str = "fp32",
) -> dict[str, Tensor]:
    """Forward, backward, optimiser, memories; returns the terms and `total`, detached, still on the device."""
    views = forward(model, batch, team, precision)
    terms = objective.losses(views)
    total = torch.stack([objective.weights[name] * term for name, term in terms.items()]).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    optimizer.step()
    objective.update(views)
    return {**{name: term.detach() for name, term in terms.items()}, "total": total.detach()}


def train_epoch(
    model: nn.Module,
    objective: Objective,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    title: str,
    progress: bool = True,
    team: Team = ALONE,
    precision: str = "fp32",
    losses: Losses | None = None,
    after_step: Callable[[int, Losses], None] | None = None,
) -> EpochResult:
    """Train on `batches`, the last ones of an epoch of `steps`.

    Args:
        losses: of the steps done before, by name.
        after_step: called after each step with its number, from 0, and all losses so far.

    Raises:
        UserError: a loss is not finite; names the terms and the step. The model is then spoilt, so do not save it.
    """
    model.train()
    sums = losses or {}
    done = max(map(len, sums.values()), default=0)
    images, start = 0, time.perf_counter()
    bar = tqdm(total=steps, initial=done, desc=title, disable=not progress, leave=False)
    with bar:
        for step, batch in enumerate(batches, start=done):
            for name, value in train_step(model, objective, batch, optimizer, team, precision).items():
                sums.setdefault(name, []).append(value)
            images += sum(len(index) for index in batch.index.values())
            bar.update()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
                bar.set_postfix_str(f"loss {check_losses(sums, title, step):.3f}", refresh=False)
            if after_step is not None:
                after_step(step, sums)
    means = {name: torch.stack(values).mean().item() for name, values in sums.items()}
    return EpochResult(means, images / (time.perf_counter() - start))


def check_losses(sums: Losses, title: str, step: int) -> float:
    latest = {name: torch.stack(values[-CHECK_EVERY:]) for name, values in sums.items()}
    broken = [name for name, values in latest.items() if not bool(values.isfinite().all())]
    if broken:
        raise UserError(
            f"{title}: loss {', '.join(broken)} is not finite within the {CHECK_EVERY} steps up to {step + 1}; "
            "nothing was saved from this epoch. A lower --lr usually helps"
        )
    return float(latest["total"][-1])
