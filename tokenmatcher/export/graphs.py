"""One modality's way from pixels to unit features as a graph: ONNX, or PyTorch's own.

A graph takes `images`, (batch, 3, H, W) uint8 of 0..255 or float of 0..1, and gives `features`, (batch, T*D) float32.
The batch size is open. What is written is read back and compared with the network before it counts as written.

Legend: H and W image height and width in pixels, T tokens, D token width.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from tokenmatcher.errors import UserError
from tokenmatcher.models.embedder import Embedder

BATCHES = (1, 2, 7)  # that a graph is compared at
TOLERANCE = 1e-4  # of a unit feature's numbers: kernels differ between programs in the last bits of float32 sums
TRACED = 3  # images: a batch of 1 would be built into the graph
LARGEST = 2**31 - 2**20  # bytes of an ONNX file: protobuf's limit, less room for the graph

Graph = Callable[[Tensor], Tensor]


def pixels(embedder: Embedder, count: int, kind: str, seed: int = 0) -> Tensor:
    """(count, 3, H, W) pictures by chance, "uint8" or "float"."""
    config, random = embedder.network.config, torch.Generator().manual_seed(seed)
    values = torch.randint(256, (count, 3, config.height, config.width), generator=random, dtype=torch.uint8)
    return values if kind == "uint8" else values.float() / 255


def write_onnx(embedder: Embedder, path: Path, kind: str, facts: Mapping[str, str]) -> float:
    """Write an ONNX file, with `facts` in its metadata, and return its largest difference from the network.

    Raises:
        UserError: the network is too large for one ONNX file.
        RuntimeError: the file does not do what the network does.
    """
    size = sum(value.nbytes for value in embedder.state_dict().values())
    if size > LARGEST:
        raise UserError(f"{path.name}: the network's {size / 1e9:.1f} GB do not fit into one ONNX file, 2 GB at most")
    with _quiet():
        program = torch.onnx.export(
            embedder,
            (pixels(embedder, TRACED, kind),),
            dynamo=True,
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            input_names=["images"],
            output_names=["features"],
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(facts)
        program.save(path, external_data=False)
    return _difference(embedder, onnx_graph(path), kind)


def onnx_graph(path: Path) -> Graph:
    """What an ONNX file computes, by onnxruntime on the CPU.

    Raises:
        RuntimeError: the batch size is built into it.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for place in (*session.get_inputs(), *session.get_outputs()):
        if not isinstance(place.shape[0], str):
            raise RuntimeError(f"{path.name}: the batch size of {place.name} is fixed at {place.shape[0]}")
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def write_torch(embedder: Embedder, path: Path, kind: str, facts: Mapping[str, str]) -> float:
    """Write a file for `torch.export.load`, with `facts` as its extra files; returns and raises as `write_onnx`."""
    with _quiet():
        program = torch.export.export(
            embedder,
            (pixels(embedder, TRACED, kind),),
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
        )
        content = io.BytesIO()  # PyTorch does not say why it cannot write a file
        torch.export.save(program, content, extra_files=dict(facts))
        path.write_bytes(content.getbuffer())
        return _difference(embedder, torch.export.load(path).module(), kind)


def _difference(embedder: Embedder, graph: Graph, kind: str) -> float:
    largest = 0.0
    for batch in BATCHES:
        images = pixels(embedder, batch, kind, seed=batch)
        with torch.inference_mode():
            largest = max(largest, float((graph(images) - embedder(images)).abs().max()))
    if not largest <= TOLERANCE:
        raise RuntimeError(f"{embedder.modality}: the graph's features differ from the network's by {largest:.2g}")
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters talk of what they do inside; what goes wrong they raise."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
