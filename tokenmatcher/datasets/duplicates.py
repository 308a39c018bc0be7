"""Files of the same content, and what it means that there are some."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from tokenmatcher.contracts import UNKNOWN, ImageRecord
from tokenmatcher.errors import UserError


def same_content(paths: Sequence[Path], *, progress: bool = True) -> list[list[int]]:
    """Indices of files with the same bytes: groups of two or more, each in order, by their first one.

    Only files whose size another one has are read.

    Raises:
        UserError: a file cannot be read.
    """
    by_size, by_digest = defaultdict(list), defaultdict(list)
    try:
        for index, path in enumerate(paths):
            by_size[path.stat().st_size].append(index)
        read = sorted(index for group in by_size.values() if len(group) > 1 for index in group)
        for index in tqdm(read, desc="compare images", delay=2, disable=None if progress else True):
            by_digest[hashlib.blake2b(paths[index].read_bytes(), digest_size=16).digest()].append(index)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None
    return [group for group in by_digest.values() if len(group) > 1]


def note_on_duplicates(
    splits: Mapping[str, Sequence[ImageRecord]], folder: Path, *, progress: bool = True
) -> list[str]:
    """A line on images of the same content, named relative to `folder`; no line where there are none.

    Raises:
        UserError: an image cannot be read.
    """
    records = [(split, record) for split, own in splits.items() for record in own]
    groups = same_content([record.path for _, record in records], progress=progress)
    if not groups:
        return []
    first, second = (records[index][1].path.relative_to(folder).as_posix() for index in groups[0][:2])
    text = f"copies of other images: {sum(len(group) - 1 for group in groups)}, such as {second} of {first}"
    leaks = doubled = 0
    for group in groups:
        own = [records[index] for index in group]
        leaks += len({split == "train" for split, _ in own}) == 2
        doubled += len({record.identity for _, record in own} - {UNKNOWN}) > 1
    if leaks:
        text += f"; both trained on and tested with: {leaks}"
    if doubled:
        text += f"; under two identities: {doubled}"
    return [text]
