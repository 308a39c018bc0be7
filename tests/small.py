"""A network small enough to train in a test, and a run of it."""

import json

import numpy as np
import torch

from tokenmatcher.contracts import Modality
from tokenmatcher.datasets import find_dataset
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.images.store import ImageStore
from tokenmatcher.machine import Machine, Randomness
from tokenmatcher.methods.tokenmatcher import TokenMatcher
from tokenmatcher.mining.matchers.greedy import match
from tokenmatcher.presets import preset
from tokenmatcher.report.log import Console, JsonLines
from tokenmatcher.training.checkpoint import RunFolder
from tokenmatcher.training.trainer import Trainer

SMALL_RECIPE = preset("sysu", "demo").override(
    {"height": 32, "width": 16, "patch_size": 8, "stem_channels": 4, "embed_dim": 16, "depth": 1, "num_heads": 2}
)
SMALL = SMALL_RECIPE.model
RUN_RECIPE = SMALL_RECIPE.override(
    {
        "batch_size": 16, "num_instances": 4, "epochs": (1, 1), "iters": (2, 2), "k1": 6, "k2": 2, "min_samples": 2,
        "camera_batch_size": 16, "camera_iters": 2, "camera_epochs_visible": 1, "camera_epochs_infrared": 1,
        "camera_k1": 6, "camera_k2": 2, "camera_keep_from": 0,
    }
)  # fmt: skip
CAMERAS = {Modality.VISIBLE: (1, 2, 4, 5), Modality.INFRARED: (3, 6)}


def small_trainer(folder, count, *, cameras=None, pixels=None, recipe=RUN_RECIPE, kind=TokenMatcher, matcher=match):
    """A run in `folder` that has done nothing yet, on `count` random images of each modality, four of a person; or all
    of the brightness `pixels`."""
    random = Randomness(0)
    sets = {}
    for modality in Modality:
        shape = (count[modality], 3, 32, 16)
        images = torch.randint(256, shape, dtype=torch.uint8) if pixels is None else torch.full(shape, pixels).byte()
        own = np.resize(CAMERAS[modality], len(images)) if cameras is None else cameras[modality]
        paths = tuple(folder / f"{modality}{n}.jpg" for n in range(len(images)))
        sets[modality] = ImageSet(modality, ImageStore(images), own, np.arange(len(images)) // 4, paths)
    console, lines = Console(folder), JsonLines(folder)
    lines.on_begin(folder, 0)
    return Trainer(
        method=kind(recipe, find_dataset("sysu"), sets, Machine(), matcher),
        images=sets,
        network=kind.network(recipe),
        machine=Machine(),
        random=random,
        folder=RunFolder(folder, kind.name, "sysu", None, recipe),
        listeners=[console, lines],
        say=console.say,
    )


def lines_of(trainer):
    """The epochs in its log.jsonl."""
    return [json.loads(line) for line in (trainer.folder.path / "log.jsonl").read_text().splitlines()]


def said_by(trainer):
    """Its log.txt."""
    return (trainer.folder.path / "log.txt").read_text()
