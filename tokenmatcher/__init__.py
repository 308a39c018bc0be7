"""Unsupervised visible-infrared person re-identification (TokenMatcher, AAAI 2025).

The names below are what most programs need; README.md shows them at work.
"""

from tokenmatcher.contracts import ClusterMatch, ImageRecord, Modality, Neighbours, PseudoLabels
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.metrics import Scores, cross_modality_scores, mean_scores
from tokenmatcher.mining.clusters import centroids, pseudo_labels
from tokenmatcher.mining.matching import match_clusters
from tokenmatcher.mining.neighbours import token_neighbours
from tokenmatcher.model.backbone import TokenViT
from tokenmatcher.model.features import embed
from tokenmatcher.model.weights import load_model
from tokenmatcher.presets import PRESETS, Recipe
from tokenmatcher.version import __version__

__all__ = [
    "PRESETS",
    "ClusterMatch",
    "ImageRecord",
    "Modality",
    "Neighbours",
    "PseudoLabels",
    "Recipe",
    "Scores",
    "TokenViT",
    "UserError",
    "__version__",
    "centroids",
    "cross_modality_scores",
    "embed",
    "load_model",
    "match_clusters",
    "mean_scores",
    "pseudo_labels",
    "token_neighbours",
]
