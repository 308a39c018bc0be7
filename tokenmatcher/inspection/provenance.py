"""Where a page's numbers come from: program, commit, versions, data."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tqdm import tqdm

from tokenmatcher.contracts import ImageRecord
from tokenmatcher.errors import UserError
from tokenmatcher.version import __version__

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "Pillow", "faiss-gpu", "faiss-cpu")


def commit() -> str | None:
    """Of the checkout that this program runs from, with "and changes" where files differ from it; None: it is none."""
    folder = Path(__file__).parents[1]
    if not (folder.parent / ".git").exists():  # an installed package may lie inside somebody else's checkout
        return None

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return git("rev-parse", "HEAD") + (" and changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def versions() -> dict[str, str]:
    """Of this program, Python, and the packages that are there."""
    found = {"TokenMatcher": __version__, "Python": platform.python_version()}
    return found | {name: own for name in PACKAGES if (own := _version(name)) is not None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def data_digest(records: Iterable[ImageRecord], folder: Path, *, progress: bool = False) -> str:
    """SHA-256 over the pictures: their paths inside `folder`, modality, camera, identity and content. Whoever has the
    same pictures under the same names has the same digest, wherever they lie.

    Raises:
        UserError: a picture cannot be read.
    """
    lines = set()
    for record in tqdm(list(records), desc="digest of the data", unit="image", disable=not progress, leave=False):
        try:
            content = hashlib.sha256(record.path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"{record.path}: cannot be read ({error.strerror})") from None
        path = os.path.relpath(record.path, folder)
        lines.add(f"{path}\0{record.modality}\0{record.camera}\0{record.identity}\0{content}")
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(os.fsencode(line) + b"\n")
    return digest.hexdigest()
