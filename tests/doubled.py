"""Run a script of the project in double precision: python tests/doubled.py script.py ...

Two ways to sum the same numbers then agree to some 1e-13. What single precision makes of such a difference, a ReLU
whose input has the other sign, a neighbour on the other side of a threshold, does not happen, and all that is left is
a difference in what is computed.
"""

import runpy
import sys
from pathlib import Path

import torch

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).parents[1]))
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float, torch.float32 = torch.Tensor.double, torch.float64
    runpy.run_path(sys.argv[0], run_name="__main__")
