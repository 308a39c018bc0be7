"""A model card: what an exported network is, takes and gives, and what it scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokenmatcher.contracts import Modality
from tokenmatcher.datasets import DATASETS
from tokenmatcher.errors import SettingError, UserError, shown
from tokenmatcher.evaluation.calibration import Calibration
from tokenmatcher.evaluation.evaluate import TEST_INTERPOLATION
from tokenmatcher.evaluation.threshold import CERTAINTY
from tokenmatcher.images.augment import IMAGENET_MEAN, IMAGENET_STD
from tokenmatcher.models.base import Network
from tokenmatcher.models.tensors import SUFFIX
from tokenmatcher.models.weights import FORMAT
from tokenmatcher.report.tables import METRICS
from tokenmatcher.version import __version__

NAME, MARK = "README.md", "# TokenMatcher, trained on "
FILES = {
    "onnx": tuple(f"{m}.onnx" for m in Modality),
    "torch": tuple(f"{m}.pt2" for m in Modality),
    "safetensors": (f"model{SUFFIX}",),
}
NO_MIRROR = "Left out: they were measured with the average with the mirror image, which these graphs do without."


def check_place(folder: Path, kind: str) -> None:
    """An export takes the place of a former one of its kind alone, and a card that of a card.

    Raises:
        SettingError: the folder holds another export, a folder of a file's name, or a README.md that is no card.
    """
    for name in (*FILES[kind], NAME):
        if (folder / name).is_dir():
            raise SettingError("{output} {folder}: its {name} is a folder", folder=folder, name=name)
    for other, names in FILES.items():
        if other != kind and any((folder / name).exists() for name in names):
            raise SettingError(
                "{output} {folder}: holds an export to {other}, and a card is of one; choose another folder",
                folder=folder,
                other=other,
            )
    path = folder / NAME
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise SettingError(
            "{output} {folder}: its {name} is no model card; choose another folder", folder=folder, name=NAME
        )


@dataclass(frozen=True)
class Exported:
    """What was written.

    input: "uint8" or "float", of a graph; None: weights alone.
    difference: of each graph's features from the network's, the largest.
    """

    format: str
    files: Sequence[Path]
    input: str | None = None
    mirror: bool = True
    difference: Mapping[str, float] | None = None


def facts(network: Network, content: Mapping[str, Any], weights: str) -> dict[str, str]:
    """In short, for a file's own metadata."""
    config = network.config
    return {
        "program": f"TokenMatcher {__version__}",
        "height": str(config.height),
        "width": str(config.width),
        "features": str(network.width),
        "data_set": str(content.get("dataset", "unknown")),
        "weights": weights,
    }


def model_card(
    network: Network,
    content: Mapping[str, Any],
    exported: Exported,
    *,
    weights: str,
    licence: str = "",
    calibration: Calibration | None = None,
) -> str:
    """Markdown.

    Args:
        content: the checkpoint's.
        weights: digest of the network's weights.
        calibration: of this network.
    """
    dataset = str(content.get("dataset", "unknown"))
    title = next((kind.title for kind in DATASETS if kind.name == dataset), _cell(dataset))
    config, trial = network.config, content.get("trial")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    lines = [
        "---",
        f"license: {'other' if licence else 'unknown'}",
        *([f"license_name: {json.dumps(licence, ensure_ascii=False)}"] if licence else []),
        "pipeline_tag: image-feature-extraction",
        "---",
        "",
        f"{MARK}{title}" + ("" if trial is None else f", trial {trial}"),
        "",
        "Visible and infrared pictures of people to features: of one person they point the same way.",
        "",
        "| | |",
        "|---|---|",
        f"| method | {_cell(_method(content))}, {_cell(content.get('note', 'no note'))} |",
        f"| network | {network.description}; {parameters:,} parameters |",
        f"| picture | {config.height} x {config.width} pixels (height x width), RGB; infrared pictures with three "
        "equal channels |",
        f"| feature | {network.width} numbers" + (", of length 1 |" if exported.input else " |"),
        f"| weights, SHA-256 | `{weights}` |",
        f"| written by | TokenMatcher {__version__}, PyTorch {torch.__version__} |",
        f"| licence | {_cell(licence or 'not stated: what the training data and the starting weights allow')} |",
        "",
        "## Files",
        "",
        "| file | bytes | SHA-256 |" + (" differs from PyTorch by at most |" if exported.difference else ""),
        "|---|---|---|" + ("---|" if exported.difference else ""),
        *(_row(path, exported.difference) for path in exported.files),
        "",
        "## Preprocessing",
        "",
        *_preprocessing(network, exported),
        "",
        "## Scores",
        "",
        *(_scores(content.get("scores")) if exported.mirror else [NO_MIRROR]),
        "",
        "## Same person?",
        "",
        *(_thresholds(calibration) if exported.mirror else [NO_MIRROR]),
    ]
    return "\n".join(lines) + "\n"


def _method(content: Mapping[str, Any]) -> object:
    """Our first checkpoints do not say, and there was one; of the authors' files it is not known for sure."""
    return content.get("method", "tokenmatcher" if content.get("format") == FORMAT else "not stated")


def check_scores(content: Mapping[str, Any], source: Path) -> None:
    """What a card shows of a checkpoint's scores is there.

    Raises:
        UserError: it is not.
    """
    scores = content.get("scores") or {}
    if not isinstance(scores, Mapping) or not all(
        isinstance(of, Mapping) and all(isinstance(of.get(metric), float) for metric in METRICS)
        for of in scores.values()
    ):
        raise UserError(f"{source}: its scores are not as they should be")


def _cell(value: object) -> str:
    """For a table: on one line, and no end of a cell."""
    return shown(str(value)).replace("|", "\\|")


def _row(path: Path, difference: Mapping[str, float] | None) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"| {path.name} | {path.stat().st_size:,} | `{digest}` |" + (
        f" {difference[path.name]:.1g} |" if difference else ""
    )


def _preprocessing(network: Network, exported: Exported) -> list[str]:
    config = network.config
    resize = f"Resize the picture to {config.height} x {config.width} (height x width) with Pillow's Lanczos filter"
    assert TEST_INTERPOLATION == "lanczos"
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (IMAGENET_MEAN, IMAGENET_STD))
    if exported.input is None:
        return [f"{resize}; scale to 0..1, subtract ({mean}), divide by ({std}). `tokenmatcher` does all this."]
    each = " (the features of both are made unit before)" if config.unit_views else ""
    kind = "uint8 of 0..255" if exported.input == "uint8" else "float32 of 0..1"
    return [
        f"{resize}, order it as (3, {config.height}, {config.width}), {kind}; stack any number of them as `images`. "
        f"Inside the graph: mean ({mean}) and standard deviation ({std}), "
        + (f"the average with the mirror image{each}, " if exported.mirror else "no mirror image, ")
        + "division by the length.",
        "",
        "One graph for each modality, since each has a stem of its own. The similarity of two pictures is the product "
        "of their features.",
    ]


def _scores(scores: Any) -> list[str]:
    if not isinstance(scores, Mapping) or not scores:
        return ["The checkpoint holds none."]
    rows = [f"| {name} | " + " | ".join(f"{100 * of[m]:.2f}" for m in METRICS) + " |" for name, of in scores.items()]
    head = "| protocol | " + " | ".join(METRICS.values()) + " |"
    return ["Of the checkpoint, in per cent, when it was trained.", "", head, "|---" * (len(METRICS) + 1) + "|", *rows]


def _thresholds(calibration: Calibration | None) -> list[str]:
    if calibration is None:
        return ["Not calibrated; `tokenmatcher calibrate` does it."]
    rows = [
        f"| {name} | {point.false_accept:g} | {point.threshold:.3f} ({point.low:.3f} to {point.high:.3f}) | "
        f"{100 * point.true_accept:.1f} % |"
        for name, pair in calibration.pairs.items()
        for point in pair.points
    ]
    return [
        f"Two pictures are taken for one person from this similarity on; measured with {_cell(calibration.source)}"
        + ("." if calibration.origin is None else f" ({_cell(calibration.origin)})."),
        "",
        f"| pair | false accepts | threshold ({CERTAINTY:.0%}) | true accepts |",
        "|---|---|---|---|",
        *rows,
    ]
