"""Sections of a run as a whole: warnings, and how the page was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenmatcher.inspection.findings import Counted, Finding
from tokenmatcher.inspection.folder import LoggedRun
from tokenmatcher.inspection.page.section import Names, Section


def warnings_section(
    runs: Sequence[LoggedRun], found: Sequence[Sequence[Finding]], counts: Sequence[Counted] | None, names: Names
) -> Section:
    """What to know first.

    Args:
        found: of each run.
        counts: of the training images on disk; None: nobody has looked.
    """
    by_run = [{"run": run.name, "findings": own} for run, own in zip(runs, found, strict=True)]
    rows = [["run", "kind", "title", "text"]]
    for run, own in zip(runs, found, strict=True):
        rows += [[run.name, one.kind, one.title, line] for one in own for line in (one.lines or ("",))]
    cameras = [
        {"modality": one.modality, "found": one, "cameras": {names.camera(n): c for n, c in one.by_camera.items()}}
        for one in counts or ()
    ]
    number = sum(one.kind == "warning" for own in found for one in own)
    context = {"by_run": by_run, "counts": cameras, "number": number, "several": len(runs) > 1}
    return Section("warnings", "Warnings", context, tables={"warnings": rows})


def making_section(
    runs: Sequence[LoggedRun],
    *,
    versions: Mapping[str, str],
    commit: str | None,
    digest: str | None,
    command: str,
    facts: Mapping[str, str],
) -> Section:
    """Configuration, versions, commit, digest of the data.

    Args:
        facts: of the model that was looked at, by what they are.
    """
    groups = dict.fromkeys(group for run in runs for group in run.groups)
    rows: dict[str, list[dict[str, Any]]] = {}
    for group in ("run", *groups):
        values = [run.flags if group == "run" else run.groups.get(group, {}) for run in runs]
        names = dict.fromkeys(name for own in values for name in own)
        rows[group] = [
            {"name": name, "values": [_text(own.get(name)) for own in values], "differs": _differ(name, values)}
            for name in names
        ]
    context = {
        "groups": rows,
        "names": [run.name for run in runs],
        "versions": versions,
        "commit": commit,
        "digest": digest,
        "command": command,
        "facts": facts,
        "said": [(run.name, "\n".join(run.said)) for run in runs if run.said],
        "begun": [(run.name, run.said[0]) for run in runs if run.said],
    }
    table = [["group", "number", *context["names"]]]  # type: ignore[misc]
    table += [[group, row["name"], *row["values"]] for group, own in rows.items() for row in own]
    return Section("making", "Configuration", context, tables={"configuration": table})


def _differ(name: str, values: Sequence[Mapping[str, Any]]) -> bool:
    return len({_text(own.get(name)) for own in values}) > 1


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)
