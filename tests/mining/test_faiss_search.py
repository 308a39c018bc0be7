"""Where inverted lists lie, by a stand-in for faiss that searches exactly and notes its calls; on a GPU, by faiss."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tokenmatcher.mining import faiss_search
from tokenmatcher.mining.faiss_search import list_search, reason_for_cpu
from tokenmatcher.mining.knn import nearest


def unit_rows(count, width):
    return functional.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(0)), dim=1)


class Index:
    """An index that searches exactly; answers arrays with arrays and tensors with tensors, as faiss does."""

    def __init__(self, kind, calls, *arguments):
        calls.append((kind, *arguments))
        self.kind, self.calls, self.cp = kind, calls, SimpleNamespace()

    def train(self, vectors):
        self.calls.append((self.kind, "train", type(vectors)))

    def add(self, vectors):
        self.calls.append((self.kind, "add", type(vectors)))
        self.vectors = vectors

    def search(self, queries, k):
        assert type(queries) is type(self.vectors)
        values, found = (torch.as_tensor(queries) @ torch.as_tensor(self.vectors).T).topk(k)
        return (values.numpy(), found.numpy()) if isinstance(queries, np.ndarray) else (values, found)


@pytest.fixture
def calls(monkeypatch):
    """The calls of a faiss that finds one GPU."""
    made = []
    faiss = ModuleType("faiss")
    faiss.METRIC_INNER_PRODUCT = "product"
    faiss.get_num_gpus = lambda: 1
    faiss.IndexFlatIP = lambda width: ("centres", width)
    faiss.IndexIVFFlat = lambda *arguments: Index("cpu", made, *arguments)
    faiss.StandardGpuResources = lambda: SimpleNamespace(setTempMemory=lambda size: made.append(("working", size)))
    faiss.GpuIndexIVFFlatConfig = SimpleNamespace
    faiss.GpuIndexIVFFlat = lambda resources, *arguments: Index("gpu", made, *arguments)
    for name in ("faiss.contrib", "faiss.contrib.torch_utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "faiss", faiss)
    return made


def on_gpu(count, width):
    """Stands for features (count, width) on the second GPU."""

    class Features(SimpleNamespace):
        def __len__(self):
            return count

    return Features(device=torch.device("cuda", 1), shape=(count, width))


def free(monkeypatch, size):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (size if device.index == 1 else 0, 80 << 30))


def test_features_on_the_cpu_are_searched_there(calls):
    features = unit_rows(200, 8)
    assert reason_for_cpu(features)
    values, found = list_search(features, 5)(torch.tensor([7, 3]))
    assert calls == [
        ("cpu", ("centres", 8), 8, 4, "product"),
        ("cpu", "train", np.ndarray),
        ("cpu", "add", np.ndarray),
    ]
    assert found[:, 0].tolist() == [7, 3]
    assert (values[:, 0] == torch.inf).all()


def test_on_a_gpu_tensors_are_handed_over_as_they_are(calls, monkeypatch):
    monkeypatch.setattr(faiss_search, "reason_for_cpu", lambda features: "")
    features = unit_rows(200, 8)
    similarity, index = nearest(features, 5, backend="ivf", block=64)
    config = SimpleNamespace(device=None)  # these features' number of the GPU
    assert calls == [
        ("working", faiss_search.WORKING_BYTES),
        ("gpu", 8, 4, "product", config),
        ("gpu", "train", torch.Tensor),
        ("gpu", "add", torch.Tensor),
    ]
    exact_similarity, exact = nearest(features, 5)
    assert torch.equal(index, exact)
    torch.testing.assert_close(similarity, exact_similarity)


def test_lists_that_fit_lie_on_the_gpu(calls, monkeypatch):
    features = on_gpu(1_000_000, 768)
    free(monkeypatch, 10 << 30)
    assert reason_for_cpu(features) == ""
    free(monkeypatch, 7 << 30)  # the images themselves are 2.9 GiB
    assert reason_for_cpu(features) == "the lists take 7.7 GiB, 7.0 are free"


def test_a_faiss_without_a_gpu_says_so(calls, monkeypatch):
    free(monkeypatch, 80 << 30)
    monkeypatch.setattr(sys.modules["faiss"], "get_num_gpus", lambda: 0)
    assert "faiss-cpu" in reason_for_cpu(on_gpu(1000, 8))


@pytest.mark.gpu
def test_inverted_lists_on_the_gpu():
    faiss = pytest.importorskip("faiss")
    if faiss.get_num_gpus() == 0:
        pytest.skip("this faiss has no support for the GPU")
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(300, 24, generator=random).repeat_interleave(20, dim=0)
    features = functional.normalize(centres + 0.6 * torch.randn(6000, 24, generator=random), dim=1).cuda()
    assert reason_for_cpu(features) == ""
    similarity, index = nearest(features, 10)
    found_similarity, found = nearest(features, 10, backend="ivf")
    assert found.is_cuda
    assert (found[:, 0] == torch.arange(6000, device=found.device)).all()
    recall = (found[:, :, None] == index[:, None, :]).any(dim=2).float().mean()
    assert 0.98 < recall < 1
    same = (found == index).all(dim=1)
    torch.testing.assert_close(found_similarity[same], similarity[same], atol=1e-4, rtol=0)
