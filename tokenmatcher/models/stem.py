"""The conv stem that turns pictures into patch tokens, one for each modality.

Legend: B batch, C stem channels, N patches, D token width, H and W image height and width in pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenmatcher.models.norms import GroupedBatchNorm
from tokenmatcher.recipe import ModelConfig


class IBN(nn.Module):
    """Instance norm on the first half of the channels, batch norm on the others (IBN-a; Pan et al., ECCV 2018).

    The parts are named as in files of trained stems.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.split = channels // 2
        self.IN = nn.InstanceNorm2d(self.split, affine=True)
        self.BN = GroupedBatchNorm(channels - self.split, groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return torch.cat((self.IN(x[:, : self.split]), self.BN(x[:, self.split :])), dim=1)


class ConvStem(nn.Module):
    """ICS: three convolutions in front of the patch projection (TransReID-SSL; Luo et al., 2021).

    The first convolution halves the image, so the projection's kernel and stride are half a patch.

    Raises:
        ValueError: an odd patch size, or a height or width that is not a multiple of it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.patch_size % 2:
            raise ValueError(f"the patch size must be even, got {config.patch_size}")
        if config.height % config.patch_size or config.width % config.patch_size:
            raise ValueError(
                f"{config.height}x{config.width} pixels do not divide into patches of {config.patch_size} pixels"
            )
        channels, half_patch = config.stem_channels, config.patch_size // 2
        self.grid_size = (config.height // config.patch_size, config.width // config.patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.conv = nn.Sequential(
            nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            IBN(channels, config.bn_groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            IBN(channels, config.bn_groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            GroupedBatchNorm(channels, config.bn_groups),
            nn.ReLU(inplace=True),
        )
        self.proj = nn.Conv2d(channels, config.embed_dim, half_patch, stride=half_patch)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.proj.get_parameter("bias"))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised pixels -> (B, N, D) patch tokens, row by row from the top left.

        On a GPU in channels-last order, which its convolutions prefer; on the CPU norms and copies take longer in it.
        The values do not depend on it.
        """
        order = torch.channels_last if images.is_cuda else torch.contiguous_format
        x = self.conv(images.contiguous(memory_format=order))
        return self.proj(x).flatten(2).transpose(1, 2)
