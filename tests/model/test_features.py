import numpy as np
import torch
from rounding import assert_near, layers
from small import SMALL

from tokenmatcher.contracts import Modality
from tokenmatcher.data.augment import normalise
from tokenmatcher.data.store import ImageStore
from tokenmatcher.model.backbone import TokenViT
from tokenmatcher.model.features import embed, extract

# One image or a batch of them is another order of sums: three convolutions, the patches, a block of 8 sums, two norms,
# each a sum of 64 to 147 numbers.
ERROR = layers(3 + 1 + 8 + 2, 100)


def test_features_are_the_mean_of_an_image_and_its_mirror_image():
    torch.manual_seed(0)
    model = TokenViT(SMALL).train()
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 32, 16), dtype=np.uint8))
    store = ImageStore(images)
    for modality in Modality:
        got = extract(model, store, modality, device=torch.device("cpu"), batch_size=2, progress=False)
        assert model.training, "left as it was"
        model.eval()
        with torch.no_grad():
            for image, feature in zip(images, got, strict=True):
                plain = normalise(image[None].float() / 255)
                both = [model(**{modality.value: x}).features[0] for x in (plain, plain.flip(3))]
                assert_near(feature, (both[0] + both[1]) / 2, ERROR)
        assert_near(embed(model, images, modality), got, ERROR)
        model.train()
    some = extract(model, store, Modality.VISIBLE, device=torch.device("cpu"), index=np.array([4, 1]), progress=False)
    whole = extract(model, store, Modality.VISIBLE, device=torch.device("cpu"), progress=False)
    assert_near(some, whole[[4, 1]], ERROR)
    assert not whole.is_inference()
    nothing = extract(
        model, store, Modality.VISIBLE, device=torch.device("cpu"), index=np.array([], dtype=int), progress=False
    )
    assert nothing.shape == (0, 64)
