import pytest
import torch
from small import SMALL

from tokenmatcher import Modality, TokenViT
from tokenmatcher.errors import UserError
from tokenmatcher.export import graphs
from tokenmatcher.models.embedder import Embedder

WRITERS = {"onnx": graphs.write_onnx, "torch": graphs.write_torch}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TokenViT(SMALL).eval()


def read(kind, path):
    return graphs.onnx_graph(path) if kind == "onnx" else torch.export.load(path).module()


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("modality", "pixels", "mirror"), [(Modality.VISIBLE, "uint8", True), (Modality.INFRARED, "float", False)]
)
def test_a_graph_gives_the_networks_features(kind, modality, pixels, mirror, network, tmp_path):
    embedder = Embedder(network, modality, unit=True, mirror=mirror).eval()
    path = tmp_path / "graph"
    largest = WRITERS[kind](embedder, path, pixels, {"height": "32"})
    assert 0 <= largest <= graphs.TOLERANCE
    graph = read(kind, path)
    for batch in (1, 2, 7, 16):
        images = graphs.pixels(embedder, batch, pixels, seed=100 + batch)
        with torch.inference_mode():
            found, expected = graph(images), embedder(images)
        assert found.shape == (batch, network.width)
        assert torch.allclose(found, expected, atol=graphs.TOLERANCE, rtol=0)
        # Unit length up to float32 roundings of a sum of 64 squares.
        assert torch.allclose(found.norm(dim=1), torch.ones(batch), atol=1e-5)


@pytest.mark.slow
def test_a_graph_of_another_network_is_not_passed_off(network, tmp_path):
    embedder = Embedder(network, Modality.VISIBLE, unit=True).eval()
    other = Embedder(network, Modality.INFRARED, unit=True).eval()
    path = tmp_path / "graph"
    graphs.write_torch(embedder, path, "uint8", {})
    with pytest.raises(RuntimeError, match="differ from the network's"):
        graphs._difference(other, read("torch", path), "uint8")


@pytest.mark.slow
def test_a_batch_size_that_is_built_in_is_refused(network, tmp_path):
    embedder = Embedder(network, Modality.VISIBLE, unit=True).eval()
    torch.onnx.export(
        embedder, (graphs.pixels(embedder, 2, "uint8"),), tmp_path / "x.onnx", dynamo=True, input_names=["images"],
        verbose=False,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="batch size of images is fixed at 2"):
        graphs.onnx_graph(tmp_path / "x.onnx")


def test_a_network_that_does_not_fit_into_a_file(network, tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "LARGEST", 1000)
    with pytest.raises(UserError, match="do not fit into one ONNX file"):
        graphs.write_onnx(Embedder(network, Modality.VISIBLE).eval(), tmp_path / "x.onnx", "uint8", {})
    assert not list(tmp_path.iterdir())
