import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rounding import assert_near, layers

from tokenmatcher.errors import UserError
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.weights import load_model
from tokenmatcher.people.tracklets import (
    TrackletConfig,
    fold_neck,
    main,
    pretrain,
    render_tracklets,
    tracklet_contrast,
)
from tokenmatcher.presets import preset


def test_contrast_equals_the_slow_loop():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((2, 4, 2, 5))
    unit = embeddings / np.linalg.norm(embeddings, axis=3, keepdims=True)
    terms = []
    for group in unit:
        for a, b in ((0, 1), (1, 0)):
            for person in range(4):
                scores = [float(group[person, a] @ group[other, b]) / 0.1 for other in range(4)]
                terms.append(-scores[person] + math.log(sum(math.exp(score) for score in scores)))
    # In double precision.
    assert tracklet_contrast(torch.tensor(embeddings), 0.1).item() == pytest.approx(np.mean(terms), rel=1e-9)


@pytest.mark.parametrize("name", ["steps", "shots", "groups", "people_in_group"])
def test_impossible_numbers_are_named(name):
    with pytest.raises(UserError, match=name):
        TrackletConfig(**{name: 0})


SMALL = TrackletConfig(worlds=1, people=4, shots=2, steps=3, groups=2, people_in_group=3)


def test_pictures_are_by_camera_and_person():
    pictures = render_tracklets(SMALL, 32, 16)
    assert pictures.shape == (6, 4, 2, 3, 32, 16)
    grey = (pictures[:, :, :, 0] == pictures[:, :, :, 2]).flatten(1).all(1)
    assert grey.tolist() == [False, False, True, False, False, True]


def test_only_the_visible_stem_is_trained():
    torch.manual_seed(0)
    model = TokenViT(replace(preset("sysu", "demo").model, num_tokens=1, depth=1, embed_dim=16, num_heads=2))
    before = {name: value.clone() for name, value in model.named_parameters()}
    losses = pretrain(model, render_tracklets(SMALL, 96, 32), SMALL)
    assert len(losses) == 3
    assert all(math.isfinite(loss) for loss in losses)
    changed = {name for name, value in model.named_parameters() if not torch.equal(before[name], value)}
    assert not any("infrared" in name for name in changed)
    assert "vit.cls_token" in changed


@torch.no_grad()
def test_folding_the_neck_keeps_the_features():
    torch.manual_seed(0)
    model = TokenViT(replace(preset("sysu", "demo").model, num_tokens=1, depth=1, embed_dim=16, num_heads=2))
    images = torch.randn(8, 3, 96, 32)
    for _ in range(3):
        model(visible=images * 2 + 1)
    model.necks[0].weight.uniform_(0.5, 2)
    model.eval()
    outcome, neck = model(visible=images), model.necks[0]
    before = outcome.features
    # The neck takes a mean off and divides what is left by a small deviation, and so its rounding errors.
    largest = outcome.tokens.abs().max() * (neck.weight / (neck.running_var + neck.eps).sqrt()).max()
    error = layers(2, 16) * (largest / before.abs().max()).item()
    fold_neck(model)
    after = model(visible=images)
    fresh = (1 + neck.eps) ** 0.5  # what the fresh neck still divides by
    assert_near(after.features * fresh, before, error)
    assert_near(after.tokens[:, 0], before, error)
    assert error < 1e-3


@pytest.mark.slow
def test_the_command_writes_a_start_that_can_be_imported(tmp_path):
    small = {"worlds": 1, "people": 4, "shots": 2, "steps": 2, "groups": 2, "people-in-group": 3}
    words = [word for name, value in small.items() for word in (f"--{name}", str(value))]
    main(["--out", str(tmp_path / "start.pth"), *words])
    model, report = load_model(tmp_path / "start.pth", config=preset("sysu", "demo").model)
    assert model.config.num_tokens == 4
    assert not report.skipped
    assert (tmp_path / "start.json").is_file()
