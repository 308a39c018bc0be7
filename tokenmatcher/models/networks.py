"""The networks that there are, by the name that `ModelConfig.network` has for them.

A new one is a subclass of `Network` in a file of its own, which says what numbers it `reads`, a line here, its name
among the choices of `ModelConfig.network`, and its rules in `recipe.network_rules`.
"""

from __future__ import annotations

from tokenmatcher.errors import SettingError
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.base import Network
from tokenmatcher.models.resnet import TwoStemResNet
from tokenmatcher.models.two_branch import TwoBranchViT
from tokenmatcher.recipe import ModelConfig

NETWORKS: dict[str, type[Network]] = {"token_vit": TokenViT, "two_branch": TwoBranchViT, "resnet": TwoStemResNet}


def build_network(config: ModelConfig) -> Network:
    """An untrained network; fresh weights follow PyTorch's global generator.

    Raises:
        ValueError: sizes that it refuses.
        SettingError: there is no memory for it; names its sizes.
    """
    kind = NETWORKS[config.network]
    try:
        return kind(config)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):  # PyTorch has no class for it
            raise
        numbers = {name: value for name in kind.reads if not isinstance(value := getattr(config, name), str | bool)}
        sizes = ", ".join(f"{{{name}}} {value}" for name, value in numbers.items())
        raise SettingError(f"no memory for a network of {sizes}") from None
