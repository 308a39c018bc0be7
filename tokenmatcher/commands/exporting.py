"""From the flags of an export to files."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.evaluation.calibration import Calibration, file_beside
from tokenmatcher.export.card import FILES, NAME, Exported, check_place, check_scores, facts, model_card
from tokenmatcher.export.graphs import write_onnx, write_torch
from tokenmatcher.files import made, only_one
from tokenmatcher.models.base import Network
from tokenmatcher.models.digest import digest_of
from tokenmatcher.models.embedder import Embedder
from tokenmatcher.models.files import load_file
from tokenmatcher.models.tensors import tensor_bytes
from tokenmatcher.models.weights import FORMAT, VERSION, build_model

WRITERS = {"onnx": write_onnx, "torch": write_torch}
(MODEL,) = FILES["safetensors"]
WORK = ".being-written"  # in the output folder


def export(given: argparse.Namespace) -> None:
    """All files of a format, or none.

    Raises:
        UserError: the checkpoint is not as it should be, or the folder cannot be written to.
    """
    check_place(given.output, given.format)
    content = load_file(given.checkpoint)
    network, report = build_model(content, source=str(given.checkpoint))
    print(report)
    check_scores(content, given.checkpoint)
    calibration = _calibration(given, network)
    weights = digest_of(network.state_dict())
    with _moved_into(given.output, former=file_beside(given.output / FILES[given.format][0])) as folder:
        check_place(given.output, given.format)  # another may have been there first
        if given.format == "safetensors":
            exported = _safetensors(folder, network, content)
            if calibration is not None:
                calibration.write(file_beside(folder / MODEL))
        else:
            exported = _graphs(folder, network, facts(network, content, weights), given)
        card = model_card(network, content, exported, weights=weights, licence=given.license, calibration=calibration)
        (folder / NAME).write_text(card, encoding="utf-8")


def _calibration(given: argparse.Namespace, network: Network) -> Calibration | None:
    """The one beside the checkpoint, or beside a former export of the same weights."""
    found = Calibration.beside(given.checkpoint, network)
    if found is None and given.format == "safetensors":
        with suppress(UserError):  # other weights', or damaged
            found = Calibration.beside(given.output / MODEL, network)
    return found


@contextmanager
def _moved_into(output: Path, *, former: Path) -> Iterator[Path]:
    """A folder, for one process at a time; if the body ends well, what it holds is moved into `output`, the card last.

    Args:
        former: a file that belonged to what is replaced, and goes.

    Raises:
        SettingError: `output` cannot be written to, or another export is at work there.
    """
    try:
        with made(output / WORK), only_one(output / WORK, "output"):
            folder = output / WORK / "files"
            shutil.rmtree(folder, ignore_errors=True)  # a killed export's
            try:
                folder.mkdir()
                yield folder
                former.unlink(missing_ok=True)
                for path in sorted(folder.iterdir(), key=lambda path: (path.name == NAME, path.name)):
                    path.replace(output / path.name)
                    print(f"written: {output / path.name}")
            finally:
                shutil.rmtree(output / WORK, ignore_errors=True)
    except OSError as error:
        raise SettingError("{output} {folder}: cannot be written to ({error})", folder=output, error=error) from None


def _graphs(folder: Path, network: Network, said: Mapping[str, str], given: argparse.Namespace) -> Exported:
    difference = {}
    paths = [folder / name for name in FILES[given.format]]
    for modality, path in zip(Modality, paths, strict=True):
        print(f"{path.name}: is written and compared with the network; this takes a while")
        embedder = Embedder(network, modality, unit=True, mirror=not given.no_mirror).eval()
        difference[path.name] = WRITERS[given.format](
            embedder, path, given.input, {**said, "modality": str(modality), "input": given.input}
        )
    return Exported(given.format, paths, given.input, not given.no_mirror, difference)


def _safetensors(folder: Path, network: Network, content: Mapping[str, Any]) -> Exported:
    own = content if content.get("format") == FORMAT else {"recipe": {"model": asdict(network.config)}}
    path = folder / MODEL
    path.write_bytes(tensor_bytes({**own, "format": FORMAT, "version": VERSION}, network.state_dict()))
    return Exported("safetensors", [path])
