"""Images a second of an exported graph under onnxruntime, against PyTorch, on this CPU.

    python -m benchmarks.onnx                      the demo's network
    python -m benchmarks.onnx --preset paper --batches 1 8      ViT-B/16 at 384x128; add --out FILE

One modality's pixels to unit features, mirror image included; both with as many threads, in turn, the median of some
rounds. Limit: the network's multiply-adds at the rate of PyTorch's fastest matrix product.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import onnxruntime
import torch

from benchmarks.machine import benchmark_parser, macs_per_image, product_rate, write_result
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.export.graphs import onnx_graph, pixels, write_onnx
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.embedder import Embedder
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table


def rates(embedder, graph, batch, rounds):
    """Images a second of both, in turn."""
    images, seconds = pixels(embedder, batch, "uint8"), {"pytorch": [], "onnxruntime": []}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for name, work in (("pytorch", embedder), ("onnxruntime", graph)):
                start = time.perf_counter()
                work(images)
                if number:
                    seconds[name].append(time.perf_counter() - start)
    return {name: batch / median(found) for name, found in seconds.items()}


def main():
    parser = benchmark_parser("onnx", "Images a second under onnxruntime, against PyTorch.")
    parser.add_argument("--preset", choices=("demo", "paper"), default="demo", help="(default %(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32], help="(default 1 8 32)")
    parser.add_argument("--rounds", type=int, default=9, help="(default %(default)s)")
    given = parser.parse_args()
    torch.manual_seed(0)
    config = preset("sysu", given.preset).model
    embedder = Embedder(TokenViT(config).eval(), Modality.VISIBLE, unit=True).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "visible.onnx"
        difference = write_onnx(embedder, path, "uint8", {})
        graph = onnx_graph(path)
        found = {batch: rates(embedder, graph, batch, given.rounds) for batch in given.batches}
    limit = product_rate(torch.device("cpu"), torch.float32) / (2 * 2 * macs_per_image(config))  # and a mirror image
    rows = [
        [str(batch), f"{of['pytorch']:.1f}", f"{of['onnxruntime']:.1f}", f"{of['onnxruntime'] / of['pytorch']:.2f}"]
        for batch, of in found.items()
    ]
    print(table(["batch", "PyTorch, images/s", "onnxruntime", "ratio"], rows))
    print(f"limit {limit:.1f} images/s; largest difference {difference:.1g}")
    result = {"preset": given.preset, "onnxruntime": onnxruntime.__version__, "images_per_second": found}
    write_result(given.out, "onnx", {**result, "limit": limit, "largest_difference": difference})


if __name__ == "__main__":
    run(main)
