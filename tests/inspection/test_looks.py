import math

import pytest
import torch
from small import SMALL

from tokenmatcher.contracts import Modality
from tokenmatcher.images.augment import normalise, to_float
from tokenmatcher.inspection.looks import likeness, look, overlap
from tokenmatcher.models.backbone import TokenViT


@pytest.fixture
def network():
    return TokenViT(SMALL).eval()


def slowly(network, images):
    """Attention of the class tokens over the patches, head by head, token by token, patch by patch."""
    vit, count = network.vit, network.config.num_tokens
    with torch.no_grad():
        patches = vit.patch_embed(normalise(to_float(images)), None)
        class_tokens = torch.cat([vit.cls_token, vit.reg_token], dim=1).expand(len(images), -1, -1)
        hidden = torch.cat([class_tokens, patches], dim=1) + vit.pos_embed
        for block in vit.blocks[:-1]:
            hidden = block(hidden)
        attention = vit.blocks[-1].attn
        rows = attention.qkv(vit.blocks[-1].norm1(hidden))  # (B, T+N, 3 * H * width)
    heads, width = attention.num_heads, attention.head_dim
    grid = vit.patch_embed.grid_size
    found = torch.zeros(len(images), count, *grid)
    for b in range(len(images)):
        for t in range(count):
            total = torch.zeros(rows.shape[1])
            for h in range(heads):
                query = rows[b, t, h * width : (h + 1) * width]
                keys = [row[(heads + h) * width : (heads + h + 1) * width] for row in rows[b]]
                scores = [math.exp(float(query @ key) / math.sqrt(width)) for key in keys]
                total += torch.tensor([score / sum(scores) for score in scores]) / heads
            own = total[count:] / total[count:].sum()
            for n, share in enumerate(own.tolist()):
                found[b, t, n // grid[1], n % grid[1]] = share
    return found


@pytest.mark.parametrize("depth", [1, 2])
def test_attention_against_a_loop(depth):
    from dataclasses import replace

    network = TokenViT(replace(SMALL, depth=depth)).eval()
    images = torch.randint(256, (2, 3, 32, 16), dtype=torch.uint8)
    found = look(network, images, Modality.VISIBLE)
    assert found.attention.shape == (2, 4, 4, 2)
    assert torch.allclose(found.attention, slowly(network, images), atol=1e-5)  # float32 sums in another order
    assert torch.allclose(found.attention.sum((2, 3)), torch.ones(2, 4), atol=1e-5)


def test_looking_changes_nothing(network):
    images = torch.randint(256, (3, 3, 32, 16), dtype=torch.uint8)
    pixels = normalise(to_float(images))
    with torch.no_grad():
        before = network(infrared=pixels).tokens
    fused = network.vit.blocks[-1].attn.fused_attn
    found = look(network.train(), images, Modality.INFRARED)
    assert network.training and network.vit.blocks[-1].attn.fused_attn is fused
    assert not network.vit.blocks[-1].attn.attn_drop._forward_hooks
    assert torch.allclose(found.tokens, before, atol=1e-5)
    network.eval()
    with torch.no_grad():
        assert torch.equal(network(infrared=pixels).tokens, before)


def test_a_failure_leaves_no_hook(network):
    with pytest.raises(ValueError):
        look(network, torch.zeros(1, 3, 8, 8, dtype=torch.uint8), Modality.VISIBLE)
    assert not network.vit.blocks[-1].attn.attn_drop._forward_hooks


def test_likeness_and_overlap_against_loops():
    tokens, attention = torch.randn(3, 4, 5), torch.rand(3, 4, 2, 2)
    attention = attention / attention.sum((2, 3), keepdim=True)
    alike, common = likeness(tokens), overlap(attention)
    for s in range(4):
        for t in range(4):
            cosines = [float(torch.cosine_similarity(tokens[b, s], tokens[b, t], dim=0)) for b in range(3)]
            shares = [float(torch.minimum(attention[b, s], attention[b, t]).sum()) for b in range(3)]
            assert float(alike[s, t]) == pytest.approx(sum(cosines) / 3, abs=1e-5)
            assert float(common[s, t]) == pytest.approx(sum(shares) / 3, abs=1e-5)
