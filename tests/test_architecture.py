"""Data flows one way: who may import whom, and how long a file may be."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tokenmatcher"
MAY_USE = {
    "datasets": {"datasets", "images"},
    "images": {"images"},
    "models": {"models", "images"},
    "mining": {"mining"},
    "evaluation": {"evaluation", "datasets", "images", "models"},
    "report": {"report", "datasets", "images"},
    "export": {"export", "datasets", "evaluation", "images", "models", "report"},
    "gallery": {"gallery", "api", "datasets", "evaluation", "images", "models"},
    "inspection": {
        "inspection",
        "datasets",
        "evaluation",
        "images",
        "methods",
        "mining",
        "models",
        "report",
        "training",
    },
    "methods": {"methods", "datasets", "images", "models", "mining", "evaluation"},
    "training": {"training", "images", "models", "methods"},
    "people": {"people", "datasets", "images", "models"},
}
EVERYBODY = {"contracts", "errors", "presets", "recipe", "files", "version", "cli", "distributed", "machine",
             "listeners", "schedules", "blame", "doors", "sizing"}  # fmt: skip
PURE = {"losses", "memory"}
LONGEST = 400


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: imports are absolute"
            yield from [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def inner(path):
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "tokenmatcher" and len(parts) > 1:
            yield parts[1]


def test_the_direction_of_flow():
    seen = set()
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0]
        if part not in MAY_USE:
            continue
        allowed = MAY_USE[part] | EVERYBODY | (PURE if part == "methods" else set())
        for used in inner(path):
            assert used in allowed, f"{path.relative_to(ROOT)} imports tokenmatcher.{used}"
            seen.add((part, used))
    assert {("methods", "mining"), ("evaluation", "models"), ("methods", "losses")} <= seen


def test_pure_modules_know_nothing_above_them():
    for name in ("contracts", "errors", "recipe", "files", "machine", "listeners", "schedules", "losses", "memory"):
        assert set(inner(PACKAGE / f"{name}.py")) <= EVERYBODY, name


def test_entry_scripts_only_parse_and_call():
    scripts = [path for kind in ("prepare", "train", "test") for path in ROOT.glob(f"{kind}_*.py")]
    assert len(scripts) == 6
    for path in scripts:
        assert len(path.read_text().splitlines()) <= 40, path.name


def test_no_file_is_too_long():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST, path
