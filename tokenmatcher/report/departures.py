"""Where this program departs from the published code, each with when it does: for the run's header and README.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokenmatcher.recipe import Recipe


@dataclass(frozen=True)
class Departure:
    """text: what is done here, in words that README.md uses too.
    applies: whether a run of this recipe, data set and precision does it."""

    text: str
    applies: Callable[[Recipe, str, str], bool] = lambda *_: True


DEPARTURES = (
    Departure("pictures are resized once, before augmentation"),
    Departure("memories are written after the backward pass"),
    Departure("matching leaves no cluster unmatched, whichever modality has more, and raises its capacity for that"),
    Departure(
        "stage 2 starts from stage 1's last weights, not the best on the test set",
        lambda recipe, *_: recipe.schedule.stage2_start == "last",
    ),
    Departure("the camera filter drops every neighbour that it finds", lambda _, dataset, __: dataset == "sysu"),
    Departure(
        "in the camera stage's silhouette outliers are no cluster and count 0", lambda _, dataset, __: dataset == "sysu"
    ),
    Departure("an image's neighbours are found by its own index", lambda _, dataset, __: dataset == "regdb"),
    Departure("the backbone works in bfloat16", lambda _, __, precision: precision == "bf16"),
)


def departures(recipe: Recipe, dataset: str, precision: str) -> list[str]:
    """The texts of those that apply."""
    return [departure.text for departure in DEPARTURES if departure.applies(recipe, dataset, precision)]
