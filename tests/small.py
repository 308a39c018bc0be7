"""A network small enough to train in a test, and a run of it."""

import numpy as np
import torch

from tokenmatcher.contracts import Modality
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.images.store import ImageStore
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.presets import PRESETS
from tokenmatcher.report.log import RunLog
from tokenmatcher.runtime import Randomness
from tokenmatcher.training.run import Run

SMALL_RECIPE = PRESETS["sysu"]["demo"].override(
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


def small_run(folder, count, *, cameras=None, pixels=None, recipe=RUN_RECIPE):
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
    return Run(
        recipe=recipe,
        dataset="sysu",
        trial=None,
        sets=sets,
        model=TokenViT(recipe.model),
        device=torch.device("cpu"),
        random=random,
        folder=folder,
        log=RunLog(folder),
        evaluate=None,
        progress=False,
    )
