"""A checkpoint and pictures for the tests of searches."""

import numpy as np
import torch
from PIL import Image
from small import small_trainer

from tokenmatcher import Modality, TokenMatcher
from tokenmatcher.evaluation.calibration import Calibration, PairCalibration, file_beside
from tokenmatcher.evaluation.threshold import Point
from tokenmatcher.models.digest import digest_of

THRESHOLD = 0.9


def save_checkpoint(path, seed=0):
    """A small network of random weights, and its thresholds beside it."""
    trainer = small_trainer(path.parent / f"run of {path.stem}", dict.fromkeys(Modality, 8))
    with torch.no_grad():
        next(trainer.network.parameters()).add_(seed)
    trainer.folder.save(path, trainer.network, "a test's")
    pairs = {
        name: PairCalibration(10, 1000, (Point(0.01, THRESHOLD, 0.4, 0.6, 0.8, 0.7, 0.9),))
        for name in ("visible-infrared", "visible-visible")
    }
    model = TokenMatcher.from_checkpoint(path, device="cpu")
    Calibration(digest_of(model.network.state_dict()), "identities", pairs).write(file_beside(path))
    return path


def person(path, number, shot=0):
    """A picture: blocks of colour by rule, so that pictures of one number resemble each other; `shot` adds noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    look = np.random.default_rng(number).integers(0, 256, (4, 2, 3)).repeat(16, 0).repeat(16, 1)
    noise = np.random.default_rng(1000 + shot).integers(-20, 21, look.shape) if shot else 0
    Image.fromarray((look + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


def crowd(folder, people=6):
    """Pictures of two visible cameras by day and an infrared one by night, in folders that say so; PNG."""
    for number in range(people):
        for camera, shots in (("cam1", (1, 2)), ("cam2", (3,))):
            for shot in shots:
                person(folder / f"day/2026-05-0{shot}/{camera}/{number:02d} é.png", number, shot)
        person(folder / f"night/cam3/{number:02d}_20260504T2305.png", number, 4)
    return folder
