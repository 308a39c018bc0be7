"""An idea of one's own: TokenMatcher with one more loss term.

    python train_sysu.py --preset demo --data-dir data/demo --method examples/own_method.py --lambda-compact 0.2

The term pulls an image to its own cluster's memory, by the angle alone: L_compact = mean of 1 - cos(image, memory).
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F

from tokenmatcher.methods.contrast import rows_on
from tokenmatcher.methods.numbers import TokenMatcherRecipe
from tokenmatcher.methods.tokenmatcher import JointObjective, TokenMatcher
from tokenmatcher.presets import TOKENMATCHER
from tokenmatcher.recipe import number


@dataclass(frozen=True, kw_only=True)
class CompactConfig:
    """compact clusters"""

    lambda_compact: float = number(0.1, "weight of the compactness loss [D]")


@dataclass(frozen=True, kw_only=True)
class CompactRecipe(TokenMatcherRecipe):
    compact: CompactConfig = field(default_factory=CompactConfig)


class CompactObjective(JointObjective):
    def __init__(self, targets, recipe, epoch):
        super().__init__(targets, recipe.losses, epoch)
        self.weights["compact"] = recipe.compact.lambda_compact

    def losses(self, views):
        terms = super().losses(views)
        pulled = []
        for modality, view in views.items():
            labels = rows_on(self.labels[modality][view.index], view.features)
            own = self.mixed[modality].vectors[labels]
            pulled.append((1 - F.cosine_similarity(view.features, own)).mean())
        terms["compact"] = torch.stack(pulled).sum()
        return terms


class Compact(TokenMatcher):
    name = "compact"
    presets: ClassVar = {
        dataset: {name: CompactRecipe.from_dict(recipe.to_dict()) for name, recipe in recipes.items()}
        for dataset, recipes in TOKENMATCHER.items()
    }

    def objective(self, targets, epoch):
        return CompactObjective(targets, self.recipe, epoch)
