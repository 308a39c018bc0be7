"""Calls of `tokenmatcher report`."""

import re

from scripts import call

SECTIONS = ["warnings", "scores", "curves", "ranks", "similarity", "map", "tokens", "clusters", "making"]
FEW = ["--queries", 12, "--points", 60, "--device", "cpu", "--no-progress"]


def made(*words):
    return call("-m", "tokenmatcher", "report", *words)


def sections_of(text):
    return re.findall(r'<section id="([a-z]+)"', text)


def shown_without_tokens(logs, data, path):
    """The page of a run whose network has no class tokens to look through."""
    made(logs, "--data-dir", data, "-o", path, *FEW)
    text = path.read_text(encoding="utf-8")
    assert sections_of(text) == [name for name in SECTIONS if name != "tokens"]
    return text
