"""What a measurement was made on, and the file it goes into."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import time
from pathlib import Path

import numpy
import PIL
import sklearn
import timm
import torch

from tokenmatcher.cli import Parser
from tokenmatcher.errors import UserError
from tokenmatcher.files import replacing
from tokenmatcher.recipe import ModelConfig


def machine() -> dict[str, object]:
    """Processor, threads, GPU, versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(names)) or platform.processor(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "timm": timm.__version__,
        "scikit-learn": sklearn.__version__,
        "pillow": PIL.__version__,
    }


def macs_per_image(config: ModelConfig) -> int:
    """Multiply-adds of one image's forward pass: stem, projections, attention, MLPs."""
    half = config.height // 2 * (config.width // 2)
    patches = config.height // config.patch_size * (config.width // config.patch_size)
    channels, width, tokens = config.stem_channels, config.embed_dim, patches + config.num_tokens
    stem = half * channels * (3 * 49 + 2 * 9 * channels)
    projection = patches * width * channels * (config.patch_size // 2) ** 2
    block = (4 + 2 * config.mlp_ratio) * tokens * width**2 + 2 * tokens**2 * width
    return round(stem + projection + config.depth * block)


def product_rate(device: torch.device, dtype: torch.dtype, size: int = 4096, repeats: int = 5) -> float:
    """FLOP/s of the fastest of some square matrix products."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[1:])


def benchmark_parser(name: str, description: str) -> Parser:
    """A parser with `--out`, by default benchmarks/results/<name>.json."""
    parser = Parser(description)
    out = Path("benchmarks/results") / f"{name}.json"
    parser.add_argument("--out", type=Path, default=out, help="result file (default %(default)s)")
    return parser


def write_result(path: Path, name: str, result: dict[str, object]) -> None:
    """Write `result` with the command and the machine."""
    command = shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])
    content = {"command": command, "machine": machine(), **result}
    with replacing(path) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")
    print(f"written: {path}")


def claim(work: Path, made_with: dict[str, object]) -> None:
    """What lies in `work` is of these recipes and flags alone.

    Raises:
        UserError: it is of others, or nobody knows of which.
    """
    path, text = work / "made_with.json", json.dumps(made_with)
    if path.is_file() and path.read_text() != text:
        raise UserError(f"--work {work}: holds runs with other numbers or flags; choose another, or remove it")
    if not path.is_file() and work.is_dir() and any(work.iterdir()):
        raise UserError(f"--work {work}: holds runs that do not say with which numbers; choose another, or remove it")
    with replacing(path) as file:
        file.write(text.encode())
