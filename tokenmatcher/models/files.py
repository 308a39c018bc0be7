"""Files of PyTorch's and of safetensors, read without running what is in them."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokenmatcher.errors import UserError
from tokenmatcher.models.tensors import SUFFIX, load_tensors


def load_file(path: str | Path, *, mapped: bool = False) -> dict[Any, Any]:
    """The dictionary in a file of PyTorch's, or of safetensors, read without running any code that it may hold.

    `mapped`: leave the tensors' bytes on disk until they are asked for.

    The authors' files hold a score as a NumPy scalar, pickled under the name an old NumPy had for it. Exactly that
    name, `numpy.dtype` and the two float dtypes are allowed, for this load only.

    Raises:
        UserError: no such file, not a checkpoint, cut short, or holding code or objects.
    """
    allowed: list[Any] = [
        (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
        (np.dtype, "numpy.dtype"),
        np.dtypes.Float32DType,
        np.dtypes.Float64DType,
    ]
    if Path(path).is_dir():
        raise UserError(f"{path}: a folder, not a file")
    if not Path(path).exists():
        raise UserError(f"{path}: no such file")
    if Path(path).suffix == SUFFIX:
        return load_tensors(Path(path))
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except PermissionError:
        raise UserError(f"{path}: no permission to read it") from None
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", str(error))
        reason = f"holds {found[1]}, and only plain tensors are read" if found else "not a PyTorch file, or damaged"
        raise UserError(f"{path}: refused: {reason}") from None
    except Exception:  # the bytes are a stranger's: they can make the reader fail in any way
        raise UserError(f"{path}: not a PyTorch file, or damaged") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a checkpoint's dictionary")
    return content
