"""A start without identity labels, in small: contrast between tracklets of rendered people.

The paper starts from a ViT that was pre-trained without labels on unlabelled people. This makes the same kind
of start for the demo: two pictures of one person in one camera, which a tracker gives without knowing who it
is, are a positive pair; the other people of the same camera are the negatives, so that neither background nor
camera can tell pairs apart. One stem sees both modalities, one class token is trained, and the result is
written in the layout of the paper's own start (`models.weights`), so that one import serves both.

    python -m tokenmatcher.people.tracklets --out pretrained/demo_vit.pth

Legend: G groups (a world's camera each), P people in a group, S shots of each, D token width.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm import trange

from tokenmatcher.cli import Parser, run
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.sysu import sysu_modality
from tokenmatcher.errors import SettingError, flag
from tokenmatcher.files import replacing
from tokenmatcher.images.augment import Augmenter, apply, draw_channels
from tokenmatcher.machine import Machine, choose_device
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.norms import GroupedBatchNorm
from tokenmatcher.models.vit_start import to_pretrained_layout
from tokenmatcher.people import World, render
from tokenmatcher.presets import TOKENMATCHER, preset
from tokenmatcher.schedules import cosine

CAMERAS = range(1, 7)


def _number(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class TrackletConfig:
    """Numbers of the pre-training, decided here by trial; `preset` names network and augmentation."""

    preset: str = _number("demo", "network and augmentation")
    worlds: int = _number(8, "rendered worlds, of six cameras each")
    first_world: int = _number(900_000, "seed of the first world")
    people: int = _number(60, "people in a world")
    shots: int = _number(4, "pictures of a person and camera")
    nir_correlation: float = _number(0.8, "how far infrared follows colour, 0 to 1")
    steps: int = _number(700, "training steps")
    groups: int = _number(4, "cameras in a batch")
    people_in_group: int = _number(16, "people of each camera in a batch")
    lr: float = _number(1e-3, "highest learning rate")
    lr_min: float = _number(1e-5, "lowest learning rate")
    weight_decay: float = _number(0.05, "of AdamW")
    temperature: float = _number(0.1, "of the contrast")
    one_channel_prob: float = _number(0.5, "share of visible pictures reduced to one channel")
    erase_prob: float = _number(0.0, "probability of random erasing")
    seed: int = _number(0, "of weights, batches and augmentation")

    def __post_init__(self) -> None:
        numbers = [value for value in asdict(self).values() if isinstance(value, float)]
        rules = [
            (all(0 <= value <= 1e6 for value in numbers), "numbers must lie in 0..1e6"),
            (0 <= self.seed < 2**63 and self.first_world >= 0, "{seed} and {first_world} must not be negative"),
            (self.temperature > 0 and self.lr > 0, "{temperature} and {lr} must be positive"),
            (self.preset in TOKENMATCHER["sysu"], f"{{preset}} must be one of {', '.join(TOKENMATCHER['sysu'])}"),
            (self.steps >= 1, "{steps} must be at least 1"),
            (self.worlds >= 1, "{worlds} must be at least 1"),
            (self.shots >= 2, "{shots} must be at least 2: a pair is two pictures of one person"),
            (1 <= self.groups <= self.worlds * len(CAMERAS), "{groups} must lie in 1..6 times {worlds}"),
            (2 <= self.people_in_group <= self.people, "{people_in_group} must lie in 2..people"),
        ]
        for holds, message in rules:
            if not holds:
                raise SettingError(message)


def render_tracklets(config: TrackletConfig, height: int, width: int) -> Tensor:
    """(worlds * 6, people, shots, 3, H, W) uint8, groups in the order of worlds, then cameras 1 to 6."""
    shape = (config.worlds * len(CAMERAS), config.people, config.shots, 3, height, width)
    pictures = torch.empty(shape, dtype=torch.uint8)
    for number in trange(config.worlds, desc="render", disable=None):
        world = World(seed=config.first_world + number, nir_correlation=config.nir_correlation)
        for camera in CAMERAS:
            group = pictures[number * len(CAMERAS) + camera - 1]
            for person in range(config.people):
                for shot in range(config.shots):
                    picture = Image.fromarray(render(world, person, camera, shot))
                    pixels = np.array(picture.resize((width, height), Image.Resampling.BICUBIC))
                    group[person, shot] = torch.from_numpy(pixels.transpose(2, 0, 1))
    return pictures


def tracklet_contrast(embeddings: Tensor, temperature: float) -> Tensor:
    """InfoNCE within each group (van den Oord et al., 2018), both ways.

    Args:
        embeddings: (G, P, 2, D), two shots of each of P people.
    """
    first, second = F.normalize(embeddings, dim=3).unbind(2)
    scores = first @ second.transpose(1, 2) / temperature
    groups, people = scores.shape[:2]
    targets = torch.arange(people, device=scores.device).repeat(groups)
    return (F.cross_entropy(scores.flatten(0, 1), targets) + F.cross_entropy(scores.mT.flatten(0, 1), targets)) / 2


def pretrain(model: TokenViT, pictures: Tensor, config: TrackletConfig) -> list[float]:
    """Train `model` through its visible stem; returns the loss of every step."""
    rng = np.random.default_rng(config.seed)
    data = replace(preset("sysu", config.preset).data, erase_prob=config.erase_prob)
    device = next(model.parameters()).device
    machine = Machine.chosen(device.type)
    size = (model.config.height, model.config.width)
    augmenter = Augmenter(data, size, torch.Generator().manual_seed(config.seed))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=config.weight_decay)
    visible = np.array([sysu_modality(camera) is Modality.VISIBLE for camera in CAMERAS])
    model.train()
    losses = []
    bar = trange(config.steps, desc="pre-train", disable=None)
    for step in bar:
        warm = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = warm * cosine(step, config.steps, config.lr, config.lr_min)
        groups = rng.choice(len(pictures), config.groups, replace=False)
        people = np.stack([rng.choice(config.people, config.people_in_group, replace=False) for _ in groups])
        shots = np.stack([rng.choice(config.shots, 2, replace=False) for _ in people.ravel()])
        batch = pictures[np.repeat(groups, people.shape[1] * 2), np.repeat(people.ravel(), 2), shots.ravel()]
        drawn = augmenter.visible(len(batch), jitter=True)
        colour = np.repeat(visible[groups % len(CAMERAS)], people.shape[1] * 2)
        chosen = torch.from_numpy(np.flatnonzero(colour & (rng.random(len(batch)) < config.one_channel_prob)))
        drawn.source[chosen] = draw_channels(len(chosen), augmenter.generator)
        with machine.autocast():
            features = model(visible=apply(batch.to(device), drawn, data)).features
        loss = tracklet_contrast(features.view(config.groups, config.people_in_group, 2, -1), config.temperature)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 50 == 0:
            bar.set_postfix_str(f"loss {np.mean(losses[-50:]):.3f}")
    return losses


@torch.no_grad()
def fold_neck(model: TokenViT) -> None:
    """Put the one token's trained batch norm into the last norm before it.

    The file has no room for necks: a fresh one then starts where the trained one ended.
    """
    (neck,), norm = model.necks, model.vit.norm
    assert isinstance(neck, GroupedBatchNorm) and isinstance(norm, nn.LayerNorm)
    assert neck.running_mean is not None and neck.running_var is not None
    scale = neck.weight / (neck.running_var + neck.eps).sqrt()
    norm.bias.copy_((norm.bias - neck.running_mean) * scale + neck.bias)
    norm.weight.mul_(scale)
    neck.reset_parameters()


def main(arguments: Sequence[str] | None = None) -> None:
    """Render, pre-train, write the weights and, beside them, a JSON log."""
    parser = Parser("Pre-train the demo's start on rendered people, without identity labels.")
    parser.add_argument("--out", type=Path, default=Path("pretrained/demo_vit.pth"), help="weights file to write")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="(default auto)")
    defaults = TrackletConfig()
    for leaf in fields(defaults):
        kind = type(leaf.default)
        text = f"{leaf.metadata['help']} (default {leaf.default})".replace("%", "%%")
        parser.add_argument(
            flag(leaf.name), type=kind, default=leaf.default, help=text, metavar=kind.__name__.upper()[0]
        )
    given = vars(parser.parse_args(arguments))
    out, device = given.pop("out"), given.pop("device")
    config = replace(defaults, **given)
    started = time.perf_counter()
    torch.manual_seed(config.seed)
    model = TokenViT(replace(preset("sysu", config.preset).model, num_tokens=1)).to(choose_device(device))
    pictures = render_tracklets(config, model.config.height, model.config.width)
    rendered = time.perf_counter()
    losses = pretrain(model, pictures, config)
    fold_neck(model.cpu())
    with replacing(out) as file:
        torch.save(to_pretrained_layout(model), file)
    means = [round(float(np.mean(losses[start : start + 100])), 4) for start in range(0, len(losses), 100)]
    log = {
        "config": asdict(config),
        "images": pictures[:, :, :, 0, 0, 0].numel(),
        "seconds": {"render": rendered - started, "train": time.perf_counter() - rendered},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "mean_loss_per_100_steps": means,
    }
    with replacing(out.with_suffix(".json")) as file:
        file.write(json.dumps(log, indent=1).encode() + b"\n")


if __name__ == "__main__":
    run(main)
