"""From the flags of an export to files."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenmatcher.contracts import Modality
from tokenmatcher.evaluation.calibration import Calibration, file_beside
from tokenmatcher.export.card import NAME, Exported, check_place, facts, model_card
from tokenmatcher.export.graphs import write_onnx, write_torch
from tokenmatcher.models.base import Network
from tokenmatcher.models.digest import digest_of
from tokenmatcher.models.embedder import Embedder
from tokenmatcher.models.files import load_file
from tokenmatcher.models.tensors import SUFFIX, tensor_bytes
from tokenmatcher.models.weights import FORMAT, VERSION, build_model

WRITERS = {"onnx": (".onnx", write_onnx), "torch": (".pt2", write_torch)}


def export(given: argparse.Namespace) -> None:
    """All files of a format, or none.

    Raises:
        UserError: the checkpoint is not as it should be.
    """
    check_place(given.output)
    content = load_file(given.checkpoint)
    network, report = build_model(content, source=str(given.checkpoint))
    print(report)
    calibration = Calibration.beside(given.checkpoint, network)
    weights = digest_of(network.state_dict())
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.output, prefix=".being-written-") as name:
        folder = Path(name)
        if given.format == "safetensors":
            exported = _safetensors(folder, network, content)
            if calibration is not None:
                calibration.write(file_beside(folder / exported.files[0].name))
        else:
            exported = _graphs(folder, network, facts(network, content, weights), given)
        card = model_card(network, content, exported, weights=weights, licence=given.license, calibration=calibration)
        (folder / NAME).write_text(card, encoding="utf-8")
        for path in sorted(folder.iterdir()):
            path.replace(given.output / path.name)
            print(f"written: {given.output / path.name}")


def _graphs(folder: Path, network: Network, said: Mapping[str, str], given: argparse.Namespace) -> Exported:
    suffix, write = WRITERS[given.format]
    files, difference = [], {}
    for modality in Modality:
        path = folder / f"{modality}{suffix}"
        print(f"{path.name}: is written and compared with the network; this takes a while")
        embedder = Embedder(network, modality, unit=True, mirror=not given.no_mirror).eval()
        difference[path.name] = write(
            embedder, path, given.input, {**said, "modality": str(modality), "input": given.input}
        )
        files.append(path)
    return Exported(given.format, files, given.input, not given.no_mirror, difference)


def _safetensors(folder: Path, network: Network, content: Mapping[str, Any]) -> Exported:
    own = content if content.get("format") == FORMAT else {"recipe": {"model": asdict(network.config)}}
    path = folder / f"model{SUFFIX}"
    path.write_bytes(tensor_bytes({**own, "format": FORMAT, "version": VERSION}, network.state_dict()))
    return Exported("safetensors", [path])
