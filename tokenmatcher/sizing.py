"""Numbers of a recipe that follow from a set's size, for users who do not know DBSCAN.

Between the sets that people have tuned by hand: SYSU-MM01 (11,909 infrared images, 56 visible images a person, k1 30,
16 images of a person in a batch) and the demo (1,300, 24, k1 15, 4). What they do on rendered worlds of several sizes:
`benchmarks/results/sizing.json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tokenmatcher.contracts import Modality
from tokenmatcher.recipe import Recipe

MOST_NEIGHBOURS, FEWEST_NEIGHBOURS = 30, 6
MOST_STEPS, FEWEST_STEPS = 200, 20
MOST_CAMERA_STEPS, FEWEST_CAMERA_STEPS = 50, 5


def sized(recipe: Recipe, counts: Mapping[Modality, Mapping[int, int]]) -> Recipe:
    """`recipe` for so many images of each modality and camera.

    k1: grows with the square root of the smaller modality's images, since more images are both more people and more
        images of each; 6 to 30. k2: a fifth of it. Within a camera the same by the camera's images.
    num_instances: images of a person in a batch, of which there are fewer in a smaller set: 4, 8 or 16.
    iters: enough to draw about 0.7 of the visible images in an epoch, 20 to 200; in a camera's epoch all of its images.
    """
    images = {m: sum(by_camera.values()) for m, by_camera in counts.items()}
    largest_camera = max((count for by_camera in counts.values() for count in by_camera.values()), default=0)
    k1, camera_k1 = neighbours(min(images.values())), neighbours(largest_camera)
    batch = recipe.data.batch_size
    steps = round(0.7 * images[Modality.VISIBLE] / (batch / 2))
    values = {
        "k1": k1,
        "k2": max(2, round(k1 / 5)),
        "num_instances": 16 if k1 >= 30 else 8 if k1 >= 18 else 4,
        "iters": (min(MOST_STEPS, max(FEWEST_STEPS, steps)),) * 2,
    }
    if hasattr(recipe, "camera"):
        camera_steps = math.ceil(largest_camera / recipe.camera.camera_batch_size)
        values |= {
            "camera_k1": camera_k1,
            "camera_k2": max(2, round(camera_k1 / 5)),
            "camera_iters": min(MOST_CAMERA_STEPS, max(FEWEST_CAMERA_STEPS, camera_steps)),
        }
    return recipe.override(values)


def neighbours(images: int) -> int:
    """k1 for so many images that are clustered together."""
    return min(MOST_NEIGHBOURS, max(FEWEST_NEIGHBOURS, round(math.sqrt(images) / 2.7)))
