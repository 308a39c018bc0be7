"""Numbers of a recipe that follow from a set's size, for users who do not know DBSCAN.

Between the sets that people have tuned by hand: the demo (1,300 infrared images, k1 15, 4 images of a person in a
batch), below which nothing shrinks any further, and SYSU-MM01 (11,909, k1 30, 16). A first rule went further down, to
k1 7 and 20 steps an epoch for 25 people: that cost 6 to 8 points of rank-1 (docs/tried.md). What the rule does on
rendered worlds of several sizes: `benchmarks/results/sizing.json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tokenmatcher.contracts import Modality
from tokenmatcher.presets.sdcl import SDCLRecipe
from tokenmatcher.recipe import Recipe

FEWEST_NEIGHBOURS, MOST_NEIGHBOURS = 15, 30
FEWEST_CAMERA_NEIGHBOURS = 8
FEWEST_STEPS = 50
STEPS, DRAWN = 200, 64  # TokenMatcher's on SYSU-MM01: steps an epoch, visible images a step
FEWEST_CAMERA_STEPS, MOST_CAMERA_STEPS = 10, 50


def sized(recipe: Recipe, counts: Mapping[Modality, Mapping[int, int]]) -> Recipe:
    """`recipe` for so many images of each modality and camera. At SYSU-MM01's size a method has its own numbers, the
    defaults of its recipe.

    k1: grows with the square root of the smaller modality's images, since more images are both more people and more
        images of each; 15 to 30. k2: a fifth of it, at least 4. Within a camera the same by the camera's images, from
        8 and 3 on.
    num_instances: images of a person in a batch: 4, from k1 18 on 8, at k1 30 16.
    iters: enough to draw about 0.7 of the visible images in an epoch, 50 to 200; methods that draw more than 64 in a
        step take as many steps as the others. A stage that has fewer than 200 on SYSU-MM01 has as many fewer here. In
        a camera's epoch all of its images, 10 to 50.
    SDCL's k1 of visible images is half of k1, and its lists are two thirds of it long.
    """
    images = {m: sum(by_camera.values()) for m, by_camera in counts.items()}
    largest_camera = max((count for by_camera in counts.values() for count in by_camera.values()), default=0)
    k1 = neighbours(min(images.values()), FEWEST_NEIGHBOURS)
    camera_k1 = neighbours(largest_camera, FEWEST_CAMERA_NEIGHBOURS)
    drawn = recipe.data.people(Modality.VISIBLE) * recipe.data.num_instances
    steps = 0.7 * images[Modality.VISIBLE] / min(drawn, DRAWN)
    values = {
        "k1": k1,
        "k2": max(4, round(k1 / 5)),
        "num_instances": 16 if k1 >= 30 else 8 if k1 >= 18 else 4,
        "iters": tuple(
            min(own, max(FEWEST_STEPS, round(steps * (own / STEPS)))) for own in type(recipe)().schedule.iters
        ),
    }
    if isinstance(recipe, SDCLRecipe):
        values |= {"k1_visible": round(k1 / 2), "match_ranked": round(2 * k1 / 3)}
    if hasattr(recipe, "camera"):
        camera_steps = math.ceil(largest_camera / recipe.camera.camera_batch_size)
        values |= {
            "camera_k1": camera_k1,
            "camera_k2": max(3, round(camera_k1 / 5)),
            "camera_iters": min(MOST_CAMERA_STEPS, max(FEWEST_CAMERA_STEPS, camera_steps)),
        }
    return recipe.override(values)


def neighbours(images: int, fewest: int) -> int:
    """k1 for so many images that are clustered together."""
    return min(MOST_NEIGHBOURS, max(fewest, round(math.sqrt(images) / 2.7)))
