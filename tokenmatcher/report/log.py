"""The log of a run: lines for people on the terminal and in `log.txt`, one JSON line an epoch in `log.jsonl`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tokenmatcher.contracts import EpochRecord
from tokenmatcher.errors import SettingError, UserError, shown
from tokenmatcher.listeners import Listener


def _plain(value: Any) -> Any:
    """JSON has no nan: null stands for what could not be measured."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


class Console(Listener):
    """Lines for people, on the terminal and in `log.txt` of `folder`.

    Args:
        silent: write nothing, for processes whose run another one writes about.
    """

    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        self.silent, self.text = silent, folder / "log.txt"
        if not silent:
            _begun(self.text)

    def say(self, text: str) -> None:
        """Anything."""
        if self.silent:
            return
        text = "\n".join(map(shown, text.split("\n")))
        tqdm.write(text)
        _append(self.text, text)

    def on_epoch(self, record: EpochRecord) -> None:
        self.say(summary(record.to_dict()))


class JsonLines(Listener):
    """A JSON line an epoch, in `log.jsonl` of `folder`."""

    def __init__(self, folder: Path) -> None:
        self.lines = folder / "log.jsonl"
        _begun(self.lines)

    def on_begin(self, folder: Path, records: int) -> None:
        kept = self.lines.read_bytes().splitlines(keepends=True)[:records]
        with self.lines.open("r+b") as file:
            file.truncate(sum(map(len, kept)))

    def on_epoch(self, record: EpochRecord) -> None:
        _append(self.lines, json.dumps(_plain(record.to_dict())))


def _begun(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise SettingError(
            "{logs_dir} {folder}: cannot be written to ({error})", folder=path.parent, error=error
        ) from None


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error})") from None


def summary(entry: dict[str, Any]) -> str:
    """One line from an epoch's entry; what the entry lacks is left out."""
    place = f"stage {entry['stage']}" + (f" cam{entry['camera']}" if "camera" in entry else "")
    parts = [f"{place} epoch {entry['epoch']:>2}"]
    for modality, found in entry["labels"].items():
        parts.append(
            f"{modality} {found['clusters']} clusters, {found['outliers']} outliers, ARI {_number(found['ari'])}"
        )
    if "match" in entry:
        match = entry["match"]
        raised = f", capacity raised to {match['capacity']}" if match.get("raised") else ""
        parts.append(f"ratio {match['ratio']:.2f}{raised}, matches right {_number(match['right'])}")
        found = ", ".join(
            f"{way} {q['per_image']:.1f} ({_number(q['precision'])})" for way, q in entry["neighbours"].items()
        )
        parts.append(f"neighbours an image (right) {found}")
    if "silhouette" in entry:
        parts.append(f"silhouette {entry['silhouette']:.3f}")
    if "losses" in entry:
        parts.append("loss " + " ".join(f"{name} {value:.3f}" for name, value in entry["losses"].items()))
    if "gradient" in entry:
        parts.append(f"gradient {entry['gradient']:.3g}")
    if "images_per_second" in entry:
        parts.append(f"{entry['images_per_second']:.0f} images/s")
    for name, scores in entry.get("scores", {}).items():
        parts.append(f"{name} rank-1 {100 * scores['rank1']:.1f} mAP {100 * scores['mAP']:.1f}")
    return " | ".join(parts + entry.get("notes", []))


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"
