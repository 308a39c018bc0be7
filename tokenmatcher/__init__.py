"""Unsupervised visible-infrared person re-identification (TokenMatcher, AAAI 2025).

The names below are what most programs need; docs/python.md shows them at work. They are imported when first asked
for: what needs no network (data sets, rendered people, flags) does not wait some seconds for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tokenmatcher.version import __version__

if TYPE_CHECKING:
    from tokenmatcher.api import Ranking, TokenMatcher
    from tokenmatcher.contracts import ClusterMatch, ImageRecord, Modality, Neighbours, PseudoLabels
    from tokenmatcher.errors import UserError
    from tokenmatcher.evaluation.metrics import Scores, cross_modality_scores, mean_scores
    from tokenmatcher.images.anything import pictures_in
    from tokenmatcher.mining.clusters import centroids, pseudo_labels
    from tokenmatcher.mining.matchers.greedy import match_clusters
    from tokenmatcher.mining.neighbours import token_neighbours
    from tokenmatcher.models.backbone import TokenViT
    from tokenmatcher.models.embedder import embed
    from tokenmatcher.models.weights import load_model
    from tokenmatcher.presets import PRESETS, preset
    from tokenmatcher.recipe import Recipe

__all__ = [
    "PRESETS",
    "ClusterMatch",
    "ImageRecord",
    "Modality",
    "Neighbours",
    "PseudoLabels",
    "Ranking",
    "Recipe",
    "Scores",
    "TokenMatcher",
    "TokenViT",
    "UserError",
    "__version__",
    "centroids",
    "cross_modality_scores",
    "embed",
    "load_model",
    "match_clusters",
    "mean_scores",
    "pictures_in",
    "preset",
    "pseudo_labels",
    "token_neighbours",
]

_MODULES = {
    "contracts": ("ClusterMatch", "ImageRecord", "Modality", "Neighbours", "PseudoLabels"),
    "errors": ("UserError",),
    "evaluation.metrics": ("Scores", "cross_modality_scores", "mean_scores"),
    "images.anything": ("pictures_in",),
    "mining.clusters": ("centroids", "pseudo_labels"),
    "mining.matchers.greedy": ("match_clusters",),
    "mining.neighbours": ("token_neighbours",),
    "api": ("Ranking", "TokenMatcher"),
    "models.backbone": ("TokenViT",),
    "models.embedder": ("embed",),
    "models.weights": ("load_model",),
    "presets": ("PRESETS", "preset"),
    "recipe": ("Recipe",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"tokenmatcher.{module}"), name)
    raise AttributeError(f"module 'tokenmatcher' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
