"""A run's test scores, the last and the best epoch told apart, beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmatcher.inspection.folder import LoggedRun
from tokenmatcher.models.files import load_file
from tokenmatcher.report.tables import METRICS

RANKS = (1, 5, 10, 20)
LAST, BEST, PAPER, MEAN, HERE = "last", "best", "published", "mean", "here"


@dataclass(frozen=True)
class Row:
    """Scores by one protocol, as fractions.

    run: whose; "" of the published ones. model: in words. kind: LAST, BEST (on the test set), PAPER, MEAN of several
    runs' last, or HERE: measured for the page alone.
    values: by metric; a published row may lack some. trials: of each trial (or run, of a mean), where there are
    several.
    method: whose figures a published row has.
    """

    run: str
    model: str
    kind: str
    protocol: str
    values: Mapping[str, float]
    trials: tuple[Mapping[str, float], ...] = ()
    method: str = ""

    def spread(self, metric: str) -> float | None:
        """Standard deviation over the trials; None: there are fewer than two."""
        values = [trial[metric] for trial in self.trials if metric in trial]
        return float(np.std(values)) if len(values) > 1 else None


def score_rows(runs: Sequence[LoggedRun]) -> list[Row]:
    """Those that were published for the runs' methods first, then each run's: after each stage, and the best of its
    last stage on the test set."""
    rows = _published_rows(runs)
    last: list[list[Row]] = []
    for run in runs:
        own = _last_rows(run)
        rows += own + _best_rows(run)
        last.append([row for row in own if row.model == own[-1].model] if own else [])
    return rows + _means(runs, last)


def _published_rows(runs: Sequence[LoggedRun]) -> list[Row]:
    kinds = {run.method: run.kind() for run in runs if run.missing is None}
    return [
        Row("", f"{kind.name}, published (the authors' figures)", PAPER, protocol, values, method=method)
        for method, kind in kinds.items()
        for protocol, values in kind.published_scores.get(runs[0].dataset, {}).items()
    ]


def _last_rows(run: LoggedRun) -> list[Row]:
    """Of each stage the last epoch that was tested."""
    tested = {epoch.stage: epoch for epoch in run.epochs if epoch.values.get("scores")}
    rows = []
    for epoch in tested.values():
        rows += _rows(run.name, epoch.place, LAST, epoch.values["scores"])
    return rows


def _best_rows(run: LoggedRun) -> list[Row]:
    path = run.checkpoint("best")
    if path is None:
        return []
    content = load_file(path, mapped=True)
    words = str(content.get("note", "")).removesuffix(", best on the test set so far")
    return _rows(run.name, words, BEST, content.get("scores") or {})


def _rows(run: str, model: str, kind: str, scores: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    return [
        Row(
            run,
            model,
            kind,
            protocol,
            {name: float(values[name]) for name in METRICS if name in values},
            tuple(values.get("trials") or ()),
        )
        for protocol, values in scores.items()
    ]


def _means(runs: Sequence[LoggedRun], last: Sequence[Sequence[Row]]) -> list[Row]:
    """Of a data set whose trials have a model each: over the trials' last models, where several are given."""
    given = [(run, rows) for run, rows in zip(runs, last, strict=True) if run.trial is not None and rows]
    if len({run.trial for run, _ in given}) < 2 or len({run.path.absolute().parent for run, _ in given}) > 1:
        return []
    found = []
    for protocol in dict.fromkeys(row.protocol for _, rows in given for row in rows):
        own = [row.values for _, rows in given for row in rows if row.protocol == protocol]
        mean = {name: float(np.mean([values[name] for values in own])) for name in METRICS}
        found.append(Row("", f"mean over {len(own)} trials' own models", MEAN, protocol, mean, tuple(own)))
    return found
