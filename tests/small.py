"""A network small enough to train in a test."""

from tokenmatcher.presets import PRESETS

SMALL_RECIPE = PRESETS["sysu"]["demo"].override(
    {"height": 32, "width": 16, "patch_size": 8, "stem_channels": 4, "embed_dim": 16, "depth": 1, "num_heads": 2}
)
SMALL = SMALL_RECIPE.model
