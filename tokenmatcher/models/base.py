"""What a network is to training, tests, export and users: two modalities in, tokens and features out.

    visible  (B1, 3, H, W) -+
                            +-> tokens (B, T, D) -> T necks -> features (B, T*D)
    infrared (B2, 3, H, W) -+

A subclass says how pictures become tokens; `tokenmatcher.models.networks` lists those that there are.

Legend: B = B1 + B2 batch, visible first, T parts of a feature, D width of a part, H and W image height and width in
pixels, R residual branches with stochastic depth.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tokenmatcher.contracts import Modality
from tokenmatcher.machine import to_device
from tokenmatcher.models.norms import GroupedBatchNorm, gather_groups, scatter_groups
from tokenmatcher.models.source import Source
from tokenmatcher.recipe import ModelConfig


class TokenOutput(NamedTuple):
    """A network's output for B images."""

    tokens: Tensor
    """(B, T, D) the parts of a feature before their batch norms."""
    features: Tensor
    """(B, T*D) the same, each part through its own batch norm."""


class StochasticDepth(nn.Module):
    """Leaves a residual branch out for some images while training (Huang et al., ECCV 2016).

    As timm's, but the random numbers come from outside, so that an image's fate does not depend on which
    images, or how many processes, it is computed with.

    Attributes:
        rate: share of images whose branch is left out; the other branches are scaled by 1 / (1 - rate).
        draws: (B,) uniform in 0..1, set before each pass; an image below `rate` loses its branch.
    """

    draws: Tensor | None = None

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> the same shape."""
        if not self.training:
            return x
        assert self.draws is not None, "set by Network.forward"
        scale = (self.draws >= self.rate).to(x.dtype) / (1 - self.rate)
        return x * scale.view(-1, *[1] * (x.ndim - 1))

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


class Network(nn.Module, ABC):
    """A network for both modalities.

    A subclass makes its layers, then calls `finish`. The necks' biases are kept at 0 (`requires_grad` is off).

    Attributes:
        reads: names of the numbers that its weights depend on; a configuration holds those of all networks.
        config: its numbers.
        parts: T, of a feature; 1 where it is not cut.
        part_width: D.
        necks: T batch norms, each over a part.
        depth_modules: those with stochastic depth, in the order of `forward`'s depth_draws.
    """

    reads: ClassVar[tuple[str, ...]] = ("network", "height", "width")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def finish(self, part_width: int) -> None:
        """Add the necks, and find the modules with stochastic depth: every pass needs them."""
        self.parts, self.part_width = self.parts_of(self.config), part_width
        self.depth_modules = [module for module in self.modules() if isinstance(module, StochasticDepth)]
        self.necks = nn.ModuleList(GroupedBatchNorm(part_width, self.config.bn_groups) for _ in range(self.parts))
        for neck in self.necks:
            neck.bias.requires_grad_(False)

    @property
    def width(self) -> int:
        """T*D, of a feature."""
        return self.parts * self.part_width

    @classmethod
    @abstractmethod
    def parts_of(cls, config: ModelConfig) -> int:
        """T, of a network so configured."""

    @property
    @abstractmethod
    def description(self) -> str:
        """A line for people: "ViT, 12 blocks, ..."."""

    @abstractmethod
    def tokens(self, visible: Tensor | None, infrared: Tensor | None) -> Tensor:
        """(B1, 3, H, W) and (B2, 3, H, W), one of them perhaps None -> (B, T, D), visible first."""

    @abstractmethod
    def set_recompute(self, on: bool) -> None:
        """Gradient checkpointing: keep less of the forward pass, and compute it again in the backward pass."""

    @classmethod
    @abstractmethod
    def sizes(cls, config: ModelConfig, file: Source) -> dict[str, tuple[float, float]]:
        """What a configuration claims of a network against what the tensors of our checkpoint hold, by the name of the
        number: compared before memory is taken for the network."""

    def forward(
        self,
        visible: Tensor | None = None,
        infrared: Tensor | None = None,
        depth_draws: Tensor | None = None,
    ) -> TokenOutput:
        """Both modalities in one pass, so that batch statistics see both where layers are shared.

        Args:
            visible: (B1, 3, H, W) normalised pixels, or None.
            infrared: (B2, 3, H, W) normalised pixels, or None.
            depth_draws: (R, B) uniform in 0..1 for the R residual branches with stochastic depth, read while
                training; None draws them from PyTorch's global generator.

        Returns:
            tokens and features of the B1 visible images, then of the B2 infrared ones.

        Raises:
            ValueError: no images, or images that are not (B, 3, H, W) of the configured size; while training, images
                of a modality that do not divide into the batch norm groups.
        """
        if visible is None and infrared is None:
            raise ValueError("needs visible or infrared images, got neither")
        size = (3, self.config.height, self.config.width)
        for modality, images in ((Modality.VISIBLE, visible), (Modality.INFRARED, infrared)):
            if images is not None and (images.ndim != 4 or images.shape[1:] != size):
                expected = "x".join(map(str, size))
                raise ValueError(f"{modality} images must be Bx{expected}, got {tuple(images.shape)}")
        if self.training and self.depth_modules:
            batch = sum(len(images) for images in (visible, infrared) if images is not None)
            device = next(self.parameters()).device
            if depth_draws is None:
                depth_draws = torch.rand(len(self.depth_modules), batch, device=device)
            for module, draws in zip(self.depth_modules, to_device(depth_draws, device), strict=True):
                module.draws = draws
        tokens = self.tokens(visible, infrared).float()  # under autocast, too, what follows is float32
        counts = [images.shape[0] for images in (visible, infrared) if images is not None]
        return TokenOutput(tokens, self._through_necks(tokens, counts))

    def _through_necks(self, tokens: Tensor, counts: list[int]) -> Tensor:
        """(B, T, D) -> (B, T*D); while training, group g of both modalities is normalised together."""
        groups = groups_of(self.necks, training=self.training)
        rows = gather_groups(tokens, counts, groups) if groups > 1 else tokens
        features = torch.cat([neck(token) for neck, token in zip(self.necks, rows.unbind(1), strict=True)], dim=1)
        return scatter_groups(features, counts, groups) if groups > 1 else features


def groups_of(norms: Iterable[nn.Module], *, training: bool) -> int:
    """Batch norm groups of the rows that this process holds, by the first of some norms that both modalities share.

    On several GPUs to a group the norms are nn.SyncBatchNorm, which knows no groups.
    """
    return getattr(next(iter(norms)), "groups", 1) if training else 1
