"""Each operation against torchvision's and Pillow's own, the draws against a literal loop."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rounding import U
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from tokenmatcher.images import augment
from tokenmatcher.presets import preset

CONFIG = preset("sysu", "paper").data
# PyTorch does not promise that a seed gives the same numbers in its next version. A sound generator fails a test one
# time in a million, and a wrong distribution, with thousands of draws, nearly always.
CHANCE = 1e-6
SIGMAS = 5  # likewise
# Single precision. Blends are few roundings of numbers up to 1.5; hue's are of numbers up to 14, sextants of the circle
# to and fro. All four and normalising: three factors of up to 1.5 on hue's error, and a division by 0.225.
BLEND = 8 * U
HUE = 4 * 14 * U
CHAIN = 1.5**3 / 0.225 * HUE


def pictures(count=6, height=24, width=12, seed=0):
    # smooth pictures and hard ones: noise, grey, black, white
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 3, height, width), dtype=np.uint8)
    images[0] = 0
    images[1] = 255
    images[2] = images[2, :1]
    return torch.from_numpy(images)


OPERATIONS = {
    "brightness": (augment.adjust_brightness, reference.adjust_brightness, (0.5, 1.5)),
    "contrast": (augment.adjust_contrast, reference.adjust_contrast, (0.5, 1.5)),
    "saturation": (augment.adjust_saturation, reference.adjust_saturation, (0.5, 1.5)),
    "hue": (augment.adjust_hue, reference.adjust_hue, (-0.5, 0.5)),
}


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_jitter_equals_torchvision_image_by_image(name, seed):
    ours, theirs, (low, high) = OPERATIONS[name]
    images = augment.to_float(pictures(seed=seed))
    factors = torch.from_numpy(np.random.default_rng(seed).uniform(low, high, len(images))).float()
    expected = torch.stack([theirs(image, float(f)) for image, f in zip(images, factors, strict=True)])
    torch.testing.assert_close(ours(images, factors), expected, rtol=0, atol=HUE if name == "hue" else BLEND)


@pytest.mark.parametrize("name", OPERATIONS)
def test_jitter_is_close_to_pillow(name):
    ours, theirs, (low, high) = OPERATIONS[name]
    images = pictures(seed=3)
    factors = torch.linspace(low, high, len(images))
    got = ours(augment.to_float(images), factors) * 255
    for image, factor, result in zip(images, factors, got, strict=True):
        expected = np.asarray(theirs(Image.fromarray(image.permute(1, 2, 0).numpy()), float(factor)))
        difference = np.abs(result.permute(1, 2, 0).numpy() - expected)
        # Pillow rounds every blend to 1/255, and hue to 1/256 of the circle, where one step is up to 6/255
        assert difference.mean() < (2.0 if name == "hue" else 1.0)


def test_factors_do_nothing_at_their_neutral_value():
    images = augment.to_float(pictures())
    ones, zeros = torch.ones(len(images)), torch.zeros(len(images))
    for adjust in (augment.adjust_brightness, augment.adjust_contrast, augment.adjust_saturation):
        torch.testing.assert_close(adjust(images, ones), images, rtol=0, atol=BLEND)
    torch.testing.assert_close(augment.adjust_hue(images, zeros), images, rtol=0, atol=HUE)


def literal(image, row, parameters, config):
    """One image, step by step with torchvision's functions."""
    image = augment.to_float(image)
    height, width = image.shape[1:]

    def jitter(image):
        for operation in parameters.order[row].tolist():
            image = list(OPERATIONS.values())[operation][1](image, float(parameters.factors[row, operation]))
        return image

    if parameters.jittered[row] and not parameters.late[row]:
        image = jitter(image)
    image = reference.pad(image, [config.pad])
    image = reference.crop(image, int(parameters.top[row]), int(parameters.left[row]), height, width)
    if parameters.mirrored[row]:
        image = reference.horizontal_flip(image)
    if parameters.jittered[row] and parameters.late[row]:
        image = jitter(image)
    image = reference.normalize(image, list(augment.IMAGENET_MEAN), list(augment.IMAGENET_STD))
    top, left, box_height, box_width = parameters.box[row].tolist()
    if box_height:
        fill = torch.tensor(augment.ERASE_FILL).view(3, 1, 1)
        image = reference.erase(image, top, left, box_height, box_width, fill)
    return image


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), pad=st.integers(0, 5))
def test_a_batch_equals_image_by_image(seed, pad):
    config = replace(CONFIG, pad=pad)
    images = pictures(count=8, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    jittered = torch.rand(8, generator=generator) < 0.7
    parameters = augment.draw_parameters(8, 24, 12, config, generator, jittered=jittered)
    parameters.late[:] = torch.rand(8, generator=generator) < 0.5
    got = augment.apply(images, parameters, config)
    expected = torch.stack([literal(image, row, parameters, config) for row, image in enumerate(images)])
    torch.testing.assert_close(got, expected, rtol=0, atol=CHAIN)


def literal_box(height, width, config, rng):
    """Random erasing as in its paper, in plain Python."""
    if rng.random() >= config.erase_prob:
        return (0, 0, 0, 0)
    for _ in range(100):
        area = rng.uniform(*config.erase_area) * height * width
        aspect = rng.uniform(*config.erase_aspect)
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h < height and w < width:
            return (rng.randint(0, height - h), rng.randint(0, width - w), h, w)
    return (0, 0, 0, 0)


@pytest.mark.parametrize("size", [(96, 32), (40, 40)])
def test_boxes_are_distributed_as_in_the_literal_loop(size):
    rng = random.Random(0)
    expected = np.array([literal_box(*size, CONFIG, rng) for _ in range(6000)])
    got = augment.draw_boxes(6000, *size, CONFIG, torch.Generator().manual_seed(0)).numpy()
    assert abs((got[:, 2] > 0).mean() - (expected[:, 2] > 0).mean()) < SIGMAS * (2 * 0.25 / 6000) ** 0.5
    for column in range(4):
        a, b = got[got[:, 2] > 0, column], expected[expected[:, 2] > 0, column]
        assert stats.ks_2samp(a, b).pvalue > CHANCE, f"column {column}"
    inside = got[:, :2] + got[:, 2:] <= np.array(size)
    assert inside.all()


def test_draws_are_uniform():
    parameters = augment.draw_parameters(
        8000, 96, 32, CONFIG, torch.Generator().manual_seed(1), jittered=torch.ones(8000, dtype=torch.bool)
    )
    factors = parameters.factors.numpy()
    for column, (low, high) in enumerate([(0.5, 1.5)] * 3 + [(-0.5, 0.5)]):
        assert stats.kstest(factors[:, column], stats.uniform(low, high - low).cdf).pvalue > CHANCE
    assert sorted(parameters.order[0].tolist()) == [0, 1, 2, 3]
    orders = np.unique(parameters.order.numpy(), axis=0, return_counts=True)[1]
    assert len(orders) == 24
    assert stats.chisquare(orders).pvalue > CHANCE
    for offset in (parameters.top, parameters.left):
        counts = np.bincount(offset.numpy(), minlength=21)
        assert len(counts) == 21
        assert stats.chisquare(counts).pvalue > CHANCE
    assert abs(parameters.mirrored.float().mean().item() - 0.5) < SIGMAS * (0.25 / 8000) ** 0.5


def test_channel_exchange():
    images = torch.randn(3000, 3, 1, 2)
    source = augment.draw_channels(3000, torch.Generator().manual_seed(0))
    got = augment.exchange_channels(images.clone(), source)
    source = (got[:, :1] == images).all((2, 3)).float().argmax(1)
    assert all(torch.equal(got[:, c], images[torch.arange(3000), source]) for c in range(3))
    assert stats.chisquare(np.bincount(source.numpy(), minlength=3)).pvalue > CHANCE


def test_infrared_greys():
    images = torch.randn(4000, 3, 1, 2)
    source = augment.draw_greys(4000, torch.Generator().manual_seed(0))
    got = augment.exchange_channels(images.clone(), source)
    weights = torch.tensor([0.2989, 0.5870, 0.1140]).view(1, 3, 1, 1)
    candidates = [images[:, c : c + 1].expand_as(images) for c in range(3)]
    candidates += [(images * weights).sum(1, keepdim=True).expand_as(images), images]
    hit = torch.stack([(got - candidate).abs().amax((1, 2, 3)) < 5 * BLEND for candidate in candidates])
    assert (hit.sum(0) == 1).all()
    counts = hit.sum(1).numpy()
    assert stats.chisquare(counts, np.array([0.25, 0.25, 0.25, 0.125, 0.125]) * 4000).pvalue > CHANCE


def test_who_is_jittered():
    images = pictures(count=4, seed=5).repeat(8, 1, 1, 1)
    plain = replace(CONFIG, pad=0, flip_prob=0.0, erase_prob=0.0)

    def make():
        return augment.Augmenter(plain, (24, 12), torch.Generator().manual_seed(0))

    def applied(parameters):
        return augment.apply(images.repeat(len(parameters.source) // len(images), 1, 1, 1), parameters, plain)

    expected = augment.normalise(augment.to_float(images))
    twins = applied(make().visible_twins(32, jitter_plain=False))
    assert torch.equal(twins[:32], expected)
    assert (twins[32:, 0] == twins[32:, 1]).all()
    assert not torch.allclose(applied(make().visible_twins(32, jitter_plain=True))[:32], expected, atol=1e-3)
    assert torch.equal(applied(make().visible(32, jitter=False)), expected)
    assert not torch.allclose(applied(make().visible(32, jitter=True)), expected, atol=1e-3)


def test_late_jitter_is_the_twins_alone_and_turns_about_the_border_too():
    config = replace(CONFIG, flip_prob=0.0, erase_prob=0.0)
    white = torch.full((32, 3, 24, 12), 255, dtype=torch.uint8)

    def borders(config, *, jitter_plain):
        """By image, whether what padding left there (10 of 24 rows) is anything but black."""
        parameters = augment.Augmenter(config, (24, 12), torch.Generator().manual_seed(0)).visible_twins(
            16, jitter_plain=jitter_plain
        )
        parameters.left[:], parameters.top[:], parameters.source[:] = 10, 0, augment.UNCHANGED
        pixels = augment.apply(white, parameters, config)[:, :, :10]
        return ((pixels - augment.normalise(torch.zeros(1, 3, 1, 1))).abs() > 1e-5).any(3).any(2).any(1)

    late = borders(config, jitter_plain=False)
    assert not late[:16].any()
    assert late[16:].any(), "contrast lifts black towards the mean"
    assert not borders(config, jitter_plain=True).any(), "where all are jittered, it comes first"
    assert not borders(replace(config, late_jitter=False), jitter_plain=False).any()


def test_infrared_is_jittered_late_where_the_plain_ones_are_not():
    make = augment.Augmenter(CONFIG, (24, 12), torch.Generator().manual_seed(0))
    for jitter, jitter_plain, late in ((True, False, True), (True, True, False), (False, False, False)):
        parameters = make.infrared(4, jitter=jitter, jitter_plain=jitter_plain)
        assert parameters.jittered.tolist() == [jitter] * 4
        assert parameters.late.tolist() == [late] * 4


def test_without_jitter_nothing_is_touched():
    config = replace(CONFIG, jitter=0.0)
    parameters = augment.Augmenter(config, (24, 12), torch.Generator().manual_seed(0)).visible_twins(
        4, jitter_plain=True
    )
    assert not parameters.jittered.any(), "a factor of 1 would still cost rounding and time"


def test_a_part_of_a_batch_looks_as_in_the_whole():
    images = pictures(count=6).repeat(2, 1, 1, 1)
    parameters = augment.Augmenter(CONFIG, (24, 12), torch.Generator().manual_seed(3)).visible_twins(
        6, jitter_plain=True
    )
    whole = augment.apply(images, parameters, CONFIG)
    for rows in (slice(0, 5), slice(5, 9), slice(9, 12)):
        assert torch.equal(augment.apply(images[rows], parameters.part(rows), CONFIG), whole[rows])


def test_the_generator_is_all_the_state():
    augmenter = augment.Augmenter(CONFIG, (24, 12), torch.Generator().manual_seed(7))
    augmenter.infrared(6, jitter=True)
    state = augmenter.generator.get_state()
    first = augmenter.visible_twins(6, jitter_plain=True), augmenter.infrared(6, jitter=True)
    augmenter.generator.set_state(state)
    torch.manual_seed(99)
    again = augmenter.visible_twins(6, jitter_plain=True), augmenter.infrared(6, jitter=True)
    for a, b in zip(first, again, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))
