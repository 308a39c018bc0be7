"""Augmentation of whole batches, every image with parameters of its own.

Legend: B images, H x W pixels. Parameters are drawn on the CPU from one explicit generator, so a
batch looks the same whatever device the pixels are on; the pixels are worked on where they are.

Order of operations: colour jitter, zero padding and random crop, mirror, normalisation with
ImageNet's mean and standard deviation, random erasing, one plane copied into all three. Where only
channel twins are jittered (SYSU-MM01, stage 1), jitter comes after the mirror, as published: the
black border counts in the mean that contrast turns about.
The published code resizes between jitter and padding; here the pictures were resized before, when
they were decoded (`store`), which changes a pixel by rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.machine import to_device
from tokenmatcher.recipe import DataConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
ERASE_FILL = (0.4914, 0.4822, 0.4465)  # put in after normalising, as published
LUMA = (0.2989, 0.5870, 0.1140)  # ITU-R BT.601
ERASE_TRIES = 100
UNCHANGED, LUMA_PLANE = -1, 3  # beside channels 0, 1, 2 in `exchange_channels`


def _channels(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return to_device(torch.tensor(values, dtype=like.dtype), like.device).view(1, 3, 1, 1)


def normalise(images: Tensor) -> Tensor:
    """(B, 3, H, W) of 0..1 to zero mean and unit variance by ImageNet's statistics."""
    return (images - _channels(IMAGENET_MEAN, images)) / _channels(IMAGENET_STD, images)


def to_float(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 to float32 0..1."""
    return images.to(torch.float32).div_(255)


def luma(images: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 1, H, W)."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Scale by `factor` (B,); images (B, 3, H, W) of 0..1."""
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image's mean luma; `factor` (B,), 1 leaves the image as it is."""
    return torch.lerp(luma(images).mean((2, 3), keepdim=True), images, factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the luma picture; `factor` (B,), 1 leaves the image as it is."""
    return torch.lerp(luma(images), images, factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by `turn` (B,) of a full circle, -0.5..0.5, in HSV."""
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    safe = chroma.clamp_min(1e-12)
    sextant = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sextant = sextant + 6 * turn.view(-1, 1, 1)
    # channel n of HSV -> RGB is v - c * clamp(min(k, 4 - k), 0, 1) with k = (n + 6h) mod 6
    planes = [torch.remainder(sextant + n, 6) for n in (5, 3, 1)]
    return torch.stack([value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1) for k in planes], dim=1)


_ADJUSTMENTS = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)


@dataclass(frozen=True)
class Parameters:
    """What was drawn for a batch, all on the CPU.

    jittered (B,) bool; late (B,) bool, jittered after crop and mirror; factors (B, 4) in the order of
    brightness, contrast, saturation, hue; order (B, 4) the order in which they are applied; top, left
    (B,) crop offset in the padded image; mirrored (B,) bool; box (B, 4) int64 erased top, left,
    height, width, height 0 for none; source (B,) int64, see `exchange_channels`.
    """

    jittered: Tensor
    late: Tensor
    factors: Tensor
    order: Tensor
    top: Tensor
    left: Tensor
    mirrored: Tensor
    box: Tensor
    source: Tensor

    def part(self, rows: slice) -> Parameters:
        """Those of some of the images."""
        return Parameters(*(getattr(self, field.name)[rows] for field in fields(self)))


def draw_parameters(
    batch: int, height: int, width: int, config: DataConfig, generator: torch.Generator, *, jittered: Tensor
) -> Parameters:
    """Draw for `batch` images; `jittered` (B,) bool says which of them get colour jitter, if there is any.

    The number of draws does not depend on `jittered`.
    """
    strength = config.jitter
    jittered = jittered & (strength > 0)
    spread = torch.rand(batch, 4, generator=generator) * 2 - 1
    factors = spread * strength
    factors[:, :3] += 1
    order = torch.rand(batch, 4, generator=generator).argsort(1)
    offsets = torch.randint(0, 2 * config.pad + 1, (batch, 2), generator=generator)
    mirrored = torch.rand(batch, generator=generator) < config.flip_prob
    box = draw_boxes(batch, height, width, config, generator)
    source = torch.full((batch,), UNCHANGED)
    late = torch.zeros(batch, dtype=torch.bool)
    return Parameters(jittered, late, factors, order, offsets[:, 0], offsets[:, 1], mirrored, box, source)


def draw_boxes(batch: int, height: int, width: int, config: DataConfig, generator: torch.Generator) -> Tensor:
    """(B, 4) top, left, height, width of the boxes to erase, height 0 where none is.

    Random erasing (Zhong et al., AAAI 2020): area and aspect uniform in their ranges, drawn again
    while the box does not fit, up to 100 times.
    """
    chosen = torch.rand(batch, generator=generator) < config.erase_prob
    tries = torch.rand(2, batch, ERASE_TRIES, generator=generator)
    low, high = config.erase_area
    area = (low + (high - low) * tries[0]) * height * width
    low, high = config.erase_aspect
    aspect = low + (high - low) * tries[1]
    heights, widths = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
    fits = (heights < height) & (widths < width)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    box_height, box_width = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
    places = torch.rand(batch, 2, generator=generator)
    top = (places[:, 0] * (height - box_height + 1)).long()
    left = (places[:, 1] * (width - box_width + 1)).long()
    erased = chosen & fits.any(1)
    return torch.stack([top, left, box_height, box_width], 1) * erased.unsqueeze(1)


def apply(images: Tensor, parameters: Parameters, config: DataConfig) -> Tensor:
    """(B, 3, H, W) uint8 to the augmented, normalised float32 batch of the same shape."""
    height, width = images.shape[2:]
    device = images.device
    images = to_float(images)
    _jitter(images, parameters, parameters.jittered & ~parameters.late)
    images = _crop(images, parameters, config.pad)
    _jitter(images, parameters, parameters.jittered & parameters.late)
    images = normalise(images)
    top, left, box_height, box_width = to_device(parameters.box, device).unbind(1)
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    in_rows = (rows >= top[:, None]) & (rows < (top + box_height)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + box_width)[:, None])
    erased = (in_rows[:, :, None] & in_columns[:, None, :]).unsqueeze(1)
    images = torch.where(erased, _channels(ERASE_FILL, images), images)
    return exchange_channels(images, parameters.source)


def _jitter(images: Tensor, parameters: Parameters, chosen: Tensor) -> None:
    """Colour jitter of the `chosen` (B,) images, in place."""
    factors = to_device(parameters.factors, images.device)
    for step in range(4):
        for operation, adjust in enumerate(_ADJUSTMENTS):
            rows = ((parameters.order[:, step] == operation) & chosen).nonzero()[:, 0]
            if len(rows):
                where = to_device(rows, images.device)
                images.index_copy_(0, where, adjust(images.index_select(0, where), factors[where, operation]))


def _crop(images: Tensor, parameters: Parameters, pad: int) -> Tensor:
    """Pad with black, cut the drawn window, mirror."""
    batch, _, height, width = images.shape
    columns = torch.arange(width).expand(batch, width)
    columns = torch.where(parameters.mirrored[:, None], width - 1 - columns, columns) + parameters.left[:, None]
    rows = torch.arange(height).expand(batch, height) + parameters.top[:, None]
    rows, columns = to_device(rows, images.device), to_device(columns, images.device)
    padded = F.pad(images, (pad, pad, pad, pad))
    padded = padded.gather(2, rows[:, None, :, None].expand(-1, 3, -1, padded.shape[3]))
    return padded.gather(3, columns[:, None, None, :].expand(-1, 3, height, -1))


def exchange_channels(images: Tensor, source: Tensor) -> Tensor:
    """Copy one plane into all three, in place; images (B, 3, H, W), `source` (B,) on the CPU.

    source 0, 1, 2: that channel; LUMA_PLANE: the luma; UNCHANGED: the image stays as it is.
    """
    for plane in (*range(3), LUMA_PLANE):
        rows = to_device((source == plane).nonzero()[:, 0], images.device)
        if len(rows):
            chosen = images.index_select(0, rows)
            grey = luma(chosen) if plane == LUMA_PLANE else chosen[:, plane : plane + 1]
            images.index_copy_(0, rows, grey.expand(-1, 3, -1, -1).contiguous())
    return images


def draw_channels(batch: int, generator: torch.Generator) -> Tensor:
    """(B,) a random channel for each: a colour picture's stand-in for infrared (Ye et al., ICCV 2021)."""
    return torch.randint(0, 3, (batch,), generator=generator)


def draw_greys(batch: int, generator: torch.Generator) -> Tensor:
    """(B,) for infrared pictures: channel 0, 1 or 2, or the luma in half of the remaining cases; 1/4 each."""
    case = torch.randint(0, 4, (batch,), generator=generator)
    half = torch.rand(batch, generator=generator) < 0.5
    return torch.where((case == 3) & ~half, UNCHANGED, case)


class Augmenter:
    """Draws what happens to the pictures of training batches; `generator` is all its state.

    Args:
        size: height and width of the pictures, pixels.
    """

    def __init__(self, config: DataConfig, size: tuple[int, int], generator: torch.Generator) -> None:
        self.config = config
        self.size = size
        self.generator = generator

    def visible(self, batch: int, *, jitter: bool) -> Parameters:
        """For `batch` plain pictures."""
        jittered = torch.full((batch,), jitter)
        return draw_parameters(batch, *self.size, self.config, self.generator, jittered=jittered)

    def visible_twins(self, batch: int, *, jitter_plain: bool) -> Parameters:
        """For 2 * `batch` pictures: the plain ones, then the same again as their one-channel twins.

        Where the plain ones are not jittered, the twins are, late if the configuration says so.
        """
        jittered = torch.ones(2 * batch, dtype=torch.bool)
        jittered[:batch] = jitter_plain
        parameters = draw_parameters(2 * batch, *self.size, self.config, self.generator, jittered=jittered)
        parameters.late[batch:] = self.config.late_jitter and not jitter_plain
        parameters.source[batch:] = draw_channels(batch, self.generator)
        return parameters

    def infrared(self, batch: int, *, jitter: bool, jitter_plain: bool = True) -> Parameters:
        """For `batch` infrared pictures; where plain visible ones are not jittered, these are late, as twins are."""
        parameters = self.visible(batch, jitter=jitter)
        parameters.late[:] = self.config.late_jitter and jitter and not jitter_plain
        parameters.source[:] = draw_greys(batch, self.generator)
        return parameters
