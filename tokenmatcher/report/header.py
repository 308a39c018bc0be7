"""What a run says before it starts: what was found on disk, what differs from the paper, the whole configuration."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch

from tokenmatcher.contracts import Modality
from tokenmatcher.data.images import ImageSet
from tokenmatcher.presets import PRESETS
from tokenmatcher.recipe import Recipe
from tokenmatcher.report.departures import departures
from tokenmatcher.report.tables import table
from tokenmatcher.version import __version__

TITLES = {"sysu": "SYSU-MM01", "regdb": "RegDB"}
# identities, visible and infrared images of the real training sets
EXPECTED = {"sysu": (395, 22_258, 11_909), "regdb": (206, 2_060, 2_060)}


def run_header(
    dataset: str,
    trial: int | None,
    recipe: Recipe,
    sets: dict[Modality, ImageSet],
    device: torch.device,
    stages: Sequence[str],
    *,
    precision: str,
    seed: int,
    processes: int = 1,
) -> str:
    """Some lines of text; `precision` is the backbone's."""
    name = TITLES[dataset] + (f" trial {trial}" if trial else "")
    cuda = device.type == "cuda"
    where = torch.cuda.get_device_name(device) if cuda else f"CPU, {torch.get_num_threads()} threads"
    if processes > 1:
        where = f"{processes} processes, the first on {where}"
    lines = [
        f"TokenMatcher {__version__}, {name}, stages {', '.join(stages)}, {where}, "
        f"PyTorch {torch.__version__}, Python {platform.python_version()}, seed {seed}, backbone in {precision}",
        _found(dataset, sets),
    ]
    differences = recipe.differences(PRESETS[dataset]["paper"])
    lines.append("differs from the paper's recipe in: " + ("; ".join(differences) if differences else "nothing"))
    lines.append('departs from the published code (README.md, "Closest to the published run"):')
    lines += [f"  {text}" for text in departures(recipe, dataset, precision)]
    lines.append("configuration:")
    for topic in fields(recipe):
        config = getattr(recipe, topic.name)
        values = ", ".join(f"{leaf.name} {getattr(config, leaf.name)}" for leaf in fields(config))
        lines.append(f"  {topic.name}: {values}")
    return "\n".join(lines)


def _found(dataset: str, sets: dict[Modality, ImageSet]) -> str:
    identities, visible, infrared = EXPECTED[dataset]
    expected = {Modality.VISIBLE: visible, Modality.INFRARED: infrared}
    rows, differs = [], False
    for modality, images in sets.items():
        cameras, counts = np.unique(images.cameras, return_counts=True)
        found = len(np.unique(images.identities))
        differs |= (found, len(images)) != (identities, expected[modality])
        per_camera = " ".join(f"cam{camera}:{count}" for camera, count in zip(cameras, counts, strict=True))
        rows.append([modality.value, f"{found} ({identities})", f"{len(images)} ({expected[modality]})", per_camera])
    text = table(["training", "identities (real set)", "images (real set)", "by camera"], rows)
    if differs:
        text += (
            f"\nnote: this is not the whole {TITLES[dataset]} training set; scores do not compare with published ones"
        )
    return text
