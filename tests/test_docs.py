"""The documents: they build, their links lead somewhere, and the flags that they name exist."""

import re
from importlib import import_module

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from scripts import ROOT

from tokenmatcher.commands import test as testing
from tokenmatcher.commands import train as training
from tokenmatcher.datasets import find_dataset
from tokenmatcher.doors import METHODS
from tokenmatcher.evaluation.calibration import Calibration
from tokenmatcher.people.__main__ import _parser as people
from tokenmatcher.presets import PRESETS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALLER = ("calibrate", "export", "index", "report", "search", "serve")  # commands with one parser
FOREIGN = {  # of other programs
    "--nproc-per-node", "--quiet", "--report", "--kills", "--cases", "--help",
    "--step-size", "--eval-step", "--print-freq", "--eps-gap", "--use-hard", "--no-cam", "--pooling-type", "--features",
    "--dropout", "--workers", "--dataset", "--arch", "--temp",
}  # fmt: skip
README_LINES = 250


@pytest.mark.slow
def test_the_site_builds_and_every_link_leads_somewhere(tmp_path):
    config = load_config(str(ROOT / ".ci/mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    build(config)
    assert {path.stem for path in tmp_path.glob("*.html")} >= {path.stem for path in PAGES[1:]}
    start = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="https?://(?!squidfunk|www\.mkdocs)', start), "it loads nothing from elsewhere"


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = PAGES[0].read_text(encoding="utf-8")
    assert text.count("\n") < README_LINES
    links = re.findall(r"\]\(([^)#]+)(#[^)]+)?\)", text)
    assert len(links) > 10
    for link, anchor in links:
        if link.startswith("https://"):
            continue
        assert (ROOT / link).exists(), link
        if anchor:
            heads = re.findall(r"(?m)^#+ (.*)$", (ROOT / link).read_text(encoding="utf-8"))
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor[1:] in slugs, f"{link}{anchor}"


def test_the_thresholds_that_are_shown_are_those_measured():
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    measured = Calibration.read(ROOT / "benchmarks/results/threshold.json").pairs["visible-infrared"].points
    assert len(measured) == 3
    for point in measured:
        accepts = f"{100 * point.true_accept:.1f} % ({100 * point.true_low:.1f} to {100 * point.true_high:.1f})"
        threshold = f"{point.threshold:.3f} ({point.low:.3f} to {point.high:.3f})"
        assert f"| visible-infrared | {point.false_accept:g} | {threshold} | {accepts} |" in text


def known_flags():
    parsers = [people(), *(import_module(f"tokenmatcher.commands.{name}").parser() for name in SMALLER)]
    for name in ("sysu", "regdb", "llcm"):
        dataset = find_dataset(name)
        parsers += [testing.parser_for(dataset)]
        parsers += [training.parser_for(dataset, PRESETS[m], m, METHODS[m].matcher) for m in PRESETS]
    found = set()
    while parsers:
        for action in parsers.pop()._actions:
            found |= set(action.option_strings)
            choices = getattr(action, "choices", None)
            parsers += choices.values() if isinstance(choices, dict) else []
    return found


def flags_of_scripts():
    """Of benchmarks, examples and the pre-training, which make their parsers when they run."""
    folders = (ROOT / "benchmarks", ROOT / "examples", ROOT / "tokenmatcher/people")
    files = [path for folder in folders for path in folder.glob("*.py")]
    return {flag for path in files for flag in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8"))}


def test_flags_that_are_named_exist():
    known = known_flags() | flags_of_scripts() | FOREIGN
    assert {"--resume", "--lambda-cross", "--false-accept", "--same-place", "--overlap"} <= known | {"--same-place"}
    table = {"--same-place", "--cmc"}  # of a CSV, whose options come from the file
    own = {"--lambda-compact"}  # of examples/own_method.py
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", page.read_text(encoding="utf-8")))
        assert named <= known | table | own, f"{page.name}: {sorted(named - known - table - own)}"
