"""What a measurement was made on."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy
import PIL
import sklearn
import timm
import torch


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
