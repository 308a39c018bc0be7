"""What a measurement was made on, and the file it goes into."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy
import PIL
import sklearn
import timm
import torch

from tokenmatcher.cli import Parser
from tokenmatcher.runtime import replacing


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


def benchmark_parser(name: str, description: str) -> Parser:
    """A parser with `--out`, by default benchmarks/results/<name>.json."""
    parser = Parser(description)
    out = Path("benchmarks/results") / f"{name}.json"
    parser.add_argument("--out", type=Path, default=out, help="result file (default %(default)s)")
    return parser


def write_result(path: Path, name: str, result: dict[str, object]) -> None:
    """Write `result` with the command and the machine."""
    content = {"command": f"python -m benchmarks.{name}", "machine": machine(), **result}
    with replacing(path) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")
    print(f"written: {path}")
