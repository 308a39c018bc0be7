"""The section of class tokens: what each looks at, and how alike they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from tokenmatcher.contracts import UNKNOWN, ImageRecord, Modality
from tokenmatcher.inspection.looks import likeness, overlap
from tokenmatcher.inspection.page.charts import Heat
from tokenmatcher.inspection.page.pictures import HEIGHT, Pictures, overlaid, sheet, small
from tokenmatcher.inspection.page.section import Names, Section


@dataclass(frozen=True)
class Looked:
    """One picture and the (T, R, C) attention of each class token over its patches."""

    record: ImageRecord
    attention: np.ndarray


@dataclass(frozen=True)
class Tokens:
    """shown: pictures, of each person visible ones before infrared ones.

    attention: (B, T, R, C) of more images, by modality. tokens: (B, T, D) of the same; before: with the starting
    weights (empty: they are not there).
    """

    shown: Sequence[Looked]
    attention: Mapping[Modality, Tensor]
    tokens: Mapping[Modality, Tensor]
    before: Mapping[Modality, Tensor]
    source: str


def tokens_section(found: Tokens, pictures: Pictures, names: Names) -> Section:
    """Pictures with the attention over them, and tables of tokens against tokens."""
    count = found.shown[0].attention.shape[0] if found.shown else 0
    labels = [f"token {t + 1}" for t in range(count)]
    rows: list[dict[str, Any]] = []
    for one in found.shown:
        record, image = one.record, small(one.record.path, HEIGHT)
        who = "unknown person" if record.identity == UNKNOWN else f"person {names.person(record.identity)}"
        where = f"{record.modality}, {names.camera(record.camera)}, {who}"
        rows.append(
            {
                "picture": pictures.of(record.path, HEIGHT),
                "alt": where,
                "looks": [
                    {"picture": pictures.add(overlaid(image, share)), "alt": f"where token {t + 1} looks: {where}"}
                    for t, share in enumerate(one.attention)
                ],
            }
        )
    heats = []
    for title, of in (("after training", found.tokens), ("before training", found.before)):
        for m, tokens in of.items():
            heats.append(
                _heat(
                    f"tokens-{m}-{title.split()[0]}",
                    f"Cosine, {m}, {title}",
                    "Mean cosine between each two class tokens of a picture; 1 means that they say the same",
                    labels,
                    likeness(tokens),
                )
            )
    for m, attention in found.attention.items():
        heats.append(
            _heat(
                f"attention-{m}",
                f"Attention in common, {m}",
                "What two tokens' attention has in common, 0 to 1; 1 means that they look at the same patches",
                labels,
                overlap(attention),
            )
        )
    pairs = [rows[n : n + len(Modality)] for n in range(0, len(rows), len(Modality))]
    context = {"pairs": pairs, "labels": labels, "source": found.source, "before": bool(found.before)}
    sheets = {"attention": lambda: _sheet(found)}
    return Section("tokens", "Class tokens", context, (), heats, sheets=sheets)


def _heat(name: str, title: str, says: str, labels: Sequence[str], values: Tensor) -> Heat:
    numbers = [label.removeprefix("token ") for label in labels]
    return Heat(name, title, says, labels, numbers, values.tolist(), corner="token")


def _sheet(found: Tokens) -> bytes:
    rows = []
    for one in found.shown:
        image = small(one.record.path, 2 * HEIGHT)
        rows.append([(image, ""), *((overlaid(image, share), "") for share in one.attention)])
    return sheet(rows)
