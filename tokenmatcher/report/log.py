"""The log of a run: lines for people on the terminal and in `log.txt`, one JSON line an epoch in `log.jsonl`."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tokenmatcher.contracts import EpochRecord
from tokenmatcher.errors import SettingError, UserError, shown
from tokenmatcher.listeners import Listener
from tokenmatcher.report.row import head, row


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
        self.stage: str | int | None = None  # whose rows are being written
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
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
        if self.silent:
            return
        stage = record.place["stage"]
        if stage != self.stage:
            self.say(f"\n{head()}")
            self.stage = stage
        tqdm.write(row(record, colour=self.colour))
        _append(self.text, row(record))


class JsonLines(Listener):
    """A JSON line an epoch, in `log.jsonl` of `folder`."""

    def __init__(self, folder: Path) -> None:
        self.lines = folder / "log.jsonl"
        _begun(self.lines)

    def on_begin(self, folder: Path, records: int) -> None:
        kept = [line for line in self.lines.read_bytes().splitlines(keepends=True)[:records] if line.endswith(b"\n")]
        with self.lines.open("r+b") as file:
            file.truncate(sum(map(len, kept)))

    def on_epoch(self, record: EpochRecord) -> None:
        _append(self.lines, json.dumps(_plain(record.to_dict())), synced=True)  # before a checkpoint counts it


def _begun(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise SettingError(
            "{logs_dir} {folder}: cannot be written to ({error})", folder=path.parent, error=error
        ) from None


def _append(path: Path, line: str, *, synced: bool = False) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            if synced:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error})") from None
