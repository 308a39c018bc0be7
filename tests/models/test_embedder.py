from dataclasses import replace

import numpy as np
import torch
from rounding import assert_near, layers
from small import SMALL

from tokenmatcher.contracts import Modality
from tokenmatcher.images.augment import normalise
from tokenmatcher.images.store import ImageStore
from tokenmatcher.machine import Machine
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.embedder import Embedder, embed, extract

# One image or a batch of them is another order of sums: three convolutions, the patches, a block of 8 sums, two norms,
# each a sum of 64 to 147 numbers.
ERROR = layers(3 + 1 + 8 + 2, 100)


def test_features_are_the_mean_of_an_image_and_its_mirror_image():
    torch.manual_seed(0)
    model = TokenViT(SMALL).train()
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 32, 16), dtype=np.uint8))
    store = ImageStore(images)
    for modality in Modality:
        got = extract(Embedder(model, modality), store, Machine(), batch_size=2)
        assert model.training, "left as it was"
        model.eval()
        with torch.no_grad():
            for image, feature in zip(images, got, strict=True):
                plain = normalise(image[None].float() / 255)
                both = [model(**{modality.value: x}).features[0] for x in (plain, plain.flip(3))]
                assert_near(feature, (both[0] + both[1]) / 2, ERROR)
        assert_near(embed(model, images, modality), got, ERROR)
        model.train()
    embedder = Embedder(model, Modality.VISIBLE)
    some, whole = extract(embedder, store, Machine(), index=np.array([4, 1])), extract(embedder, store, Machine())
    assert_near(some, whole[[4, 1]], ERROR)
    assert not whole.is_inference()
    unit = extract(Embedder(model, Modality.VISIBLE, unit=True), store, Machine())
    assert torch.equal(unit, torch.nn.functional.normalize(whole, dim=1))
    assert extract(embedder, store, Machine(), index=np.array([], dtype=int)).shape == (0, 64)


def test_unit_views_are_made_unit_before_their_mean_is_taken():
    torch.manual_seed(0)
    model = TokenViT(replace(SMALL, unit_views=True)).eval()
    images = torch.randint(256, (5, 3, 32, 16), dtype=torch.uint8)
    plain = normalise(images.float() / 255)
    with torch.no_grad():
        one, two = (torch.nn.functional.normalize(model(visible=x).features, dim=1) for x in (plain, plain.flip(3)))
    found = embed(model, images, Modality.VISIBLE)
    assert_near(found, (one + two) / 2, ERROR)
    assert (found.norm(dim=1) < 1).all(), "and the mean is not made unit again"
    with torch.inference_mode():
        alone = Embedder(model, Modality.VISIBLE, mirror=False)(images)
    assert_near(alone, one, ERROR)
