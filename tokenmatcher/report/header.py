"""What a run says before it starts: what was found on disk, what differs from the paper, the whole configuration."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
import torch

from tokenmatcher.blame import returned
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.machine import Machine
from tokenmatcher.recipe import Recipe
from tokenmatcher.report.tables import table
from tokenmatcher.version import __version__


def run_header(
    dataset: Dataset,
    trial: int | None,
    recipe: Recipe,
    images: Mapping[Modality, ImageSet],
    machine: Machine,
    stages: Sequence[str],
    *,
    method: str,
    matcher: str,
    seed: int,
    paper: Recipe | None,
    published: str | None,
    document: str,
    departures: Sequence[str],
) -> str:
    """Some lines of text.

    Args:
        method, matcher: their names, or the files that hold them.
        paper: the published numbers on this data set; None: there are none.
        published: the published scores on it.
        document: that tells of the departures.
        departures: where the method and the data set depart from the published code.
    """
    name = dataset.title + (f" trial {trial}" if trial else "")
    threads = torch.get_num_threads()
    cuda = machine.device.type == "cuda"
    where = (
        torch.cuda.get_device_name(machine.device)
        if cuda
        else f"CPU, {threads} {'thread' if threads == 1 else 'threads'}"
    )
    if machine.team.size > 1:
        where = f"{machine.team.size} processes, the first on {where}"
    lines = [
        f"TokenMatcher {__version__}, {name}, stages {', '.join(stages)}, "
        f"method {method}, matcher {matcher}, {where}, "
        f"PyTorch {torch.__version__}, Python {platform.python_version()}, seed {seed}, "
        f"backbone in {machine.precision}",
        _found(dataset, images),
    ]
    if dataset.camera_names:
        names = ", ".join(f"cam{number} {name}" for number, name in enumerate(dataset.camera_names, start=1))
        lines.append(f"cameras: {names}")
    lines += [rules] if (rules := dataset.test_rules()) else []
    oddities = returned(dataset.oddities, dataset.oddities(progress=machine.progress), list)
    lines += [f"note: {text}" for text in (dataset.note, *oddities) if text]
    if published is not None:
        lines.append(f"published, of the authors' figures: {published}")
    if paper is not None:
        differences = "; ".join(recipe.differences(paper)) or "nothing"
        lines.append(f"differs from the paper's recipe in: {differences}")
    all_departures = [*departures, *(["the backbone works in bfloat16"] if machine.precision == "bf16" else [])]
    if all_departures:
        lines.append(f"departs from the published code ({document}):")
        lines += [f"  {text}" for text in all_departures]
    lines.append("configuration:")
    for topic in fields(recipe):
        config = getattr(recipe, topic.name)
        if getattr(config, "NEEDS_CAMERAS", False) and not dataset.many_cameras:
            continue  # nothing reads it, and there are no flags for it
        values = ", ".join(f"{leaf.name} {getattr(config, leaf.name)}" for leaf in fields(config))
        lines.append(f"  {topic.name}: {values}")
    return "\n".join(lines)


def _found(dataset: Dataset, images: Mapping[Modality, ImageSet]) -> str:
    size = dataset.size
    rows, differs = [], False
    for modality, own in images.items():
        cameras, counts = np.unique(own.cameras, return_counts=True)
        found = len(np.unique(own.identities))
        real = ("", "") if size is None else (f" ({size.identities})", f" ({size.images[modality]})")
        differs |= size is not None and (found, len(own)) != (size.identities, size.images[modality])
        per_camera = " ".join(f"cam{camera}:{count}" for camera, count in zip(cameras, counts, strict=True))
        rows.append([modality.value, f"{found}{real[0]}", f"{len(own)}{real[1]}", per_camera])
    beside = " (real set)" if size is not None else ""
    text = table(["training", f"identities{beside}", f"images{beside}", "by camera"], rows)
    if differs:
        text += f"\nnote: this is not the whole {dataset.title} training set; scores do not compare with published ones"
    return text
