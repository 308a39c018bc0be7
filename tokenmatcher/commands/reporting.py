"""From the flags of a report to its file."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tokenmatcher.cli import bars
from tokenmatcher.commands.config import start_of
from tokenmatcher.commands.report import OF_PICTURES, parser
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.datasets.table import Table
from tokenmatcher.errors import SettingError
from tokenmatcher.files import replacing
from tokenmatcher.inspection.findings import counted, findings
from tokenmatcher.inspection.folder import LoggedRun, dataset_of, read_runs
from tokenmatcher.inspection.page import seen
from tokenmatcher.inspection.page.clustering import clusters_section
from tokenmatcher.inspection.page.curves import curves_section
from tokenmatcher.inspection.page.embedding import map_section
from tokenmatcher.inspection.page.overview import making_section, warnings_section
from tokenmatcher.inspection.page.page import page
from tokenmatcher.inspection.page.parts import write_parts
from tokenmatcher.inspection.page.pictures import Pictures
from tokenmatcher.inspection.page.ranking import ranks_section
from tokenmatcher.inspection.page.scoring import measured, scores_section
from tokenmatcher.inspection.page.section import Names, Section
from tokenmatcher.inspection.page.similar import similar_section
from tokenmatcher.inspection.page.tokens import tokens_section
from tokenmatcher.inspection.page.top import head_of
from tokenmatcher.inspection.provenance import commit, data_digest, versions
from tokenmatcher.inspection.scores import Row, score_rows
from tokenmatcher.inspection.subject import Subject, open_subject
from tokenmatcher.machine import Machine
from tokenmatcher.models.digest import digest_of

PAGES = (".html", ".htm")


def report(given: argparse.Namespace) -> None:
    """One page, and its parts where they are asked for; written at the end, so that nothing is half there.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    runs = read_runs(given.logs)
    _keep_apart(runs, given.output)
    if len({run.dataset for run in runs}) > 1:
        each = ", ".join(f"{run.name} of {run.dataset}" for run in runs)
        raise SettingError("runs of several data sets do not stand in one report: {each}", each=each)
    first = runs[0]
    dataset = dataset_of(first, given.dataset, given.data_dir)
    names = Names(dataset)
    pictures, subject, counts = Pictures(), None, None
    if given.data_dir is not None or (given.dataset is not None and isinstance(dataset, Table)):
        if dataset is None:
            raise SettingError(
                "{data_dir} {folder}: holds no {name}.csv, which the run trained on; name it with {dataset}",
                folder=given.data_dir,
                name=first.dataset,
            )
        subject = _subject(given, first, dataset)
        counts = counted(dataset, dataset.training(subject.data_dir, first.trial))
    elif unread := [name for name in OF_PICTURES if getattr(given, name) != parser().get_default(name)]:
        raise SettingError(f"{{{unread[0]}}} needs {{data_dir}}: it is about pictures")
    sections = [
        warnings_section(
            runs, [findings(run, dataset, counts if run is first else None) for run in runs], counts, names
        )
    ]
    rows: Sequence[Row] = score_rows(runs)
    if subject is None:
        sections += [scores_section(rows, None, names, first.name), curves_section(runs)]
    else:
        found, rows = _with_pictures(given, subject, runs, rows, pictures, names)
        sections += found
    sections.append(_making(given, runs, subject))
    title = dataset.title if dataset else first.dataset
    html = page(head_of(runs, title, subject, rows), sections, pictures.made)
    if given.parts is not None:
        number = write_parts(sections, given.parts, progress=bars(given.no_progress))
        print(f"written: {number} files in {given.parts}")
    try:
        with replacing(given.output) as file:
            file.write(html.encode("utf-8", errors="replace"))
    except OSError as error:
        raise SettingError("{output} {path}: cannot be written ({error})", path=given.output, error=error) from None
    print(f"written: {given.output} ({given.output.stat().st_size / 1e6:.1f} MB)")


def _keep_apart(runs: Sequence[LoggedRun], output: Path) -> None:
    """A page may lie in a run's folder, and take the place of a former one; of nothing else there."""
    path = output.resolve()
    own = next((run for run in runs if run.path.resolve() in path.parents), None)
    if own is not None and path.exists() and path.suffix.lower() not in PAGES:
        raise SettingError("{output} {path}: is a file of the run {run}", path=output, run=own.path)


def _subject(given: argparse.Namespace, run: LoggedRun, dataset: Dataset) -> Subject:
    started = run.flags.get("pretrained_path") or start_of(run.recipe().model.network, str(run.flags.get("preset")))
    if given.before not in (None, "none") and not Path(given.before).is_file():
        raise SettingError("{before} {path}: no such file", path=given.before)
    return open_subject(
        run,
        dataset,
        dataset.default_dir if dataset.in_one_file or given.data_dir is None else given.data_dir,
        Machine.chosen(given.device, "fp32", progress=bars(given.no_progress)),
        which=given.weights,
        most_images=given.images,
        start=str(given.before or started),
        store_dir=given.store_dir,
        seed=given.seed,
    )


def _with_pictures(
    given: argparse.Namespace,
    subject: Subject,
    runs: Sequence[LoggedRun],
    rows: Sequence[Row],
    pictures: Pictures,
    names: Names,
) -> tuple[list[Section], Sequence[Row]]:
    """The sections, and the rows of scores with those that the page measured itself."""
    with tqdm(total=6, desc="sections", disable=not subject.machine.progress, leave=False) as bar:

        def done(what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update()

        features = seen.features_of(subject)
        done("features")
        computed = seen.computed(subject, features)
        rows = [*rows, *measured(rows, computed, subject.run.name)]
        scores = scores_section(rows, computed, names, subject.run.name)
        done("scores")
        ranked, source = seen.ranked(subject, features, given.queries)
        ranks = ranks_section(ranked, pictures, names, source=source)
        done("rank lists")
        similar = similar_section(seen.compared(subject, features, given.seed))
        done("similarities")
        found = seen.clustered(subject, features)
        clusters = clusters_section(found, pictures, names)
        done("clusters")
        maps = map_section(seen.mapped(subject, features, found.labels, given.points, given.seed), pictures, names)
        tokens = seen.tokens(subject, features, given.seed)
        looks = [] if tokens is None else [tokens_section(tokens, pictures, names)]
        done("map, class tokens")
    return [scores, curves_section(runs), ranks, similar, maps, *looks, clusters], rows


def _making(given: argparse.Namespace, runs: Sequence[LoggedRun], subject: Subject | None) -> Section:
    facts, digest = {}, None
    if subject is not None:
        facts = {
            "model": f"{subject.path}: {subject.note}",
            "weights, SHA-256": digest_of(subject.network.state_dict()),
            "began with": subject.start_note,
            "pictures": str(subject.data_dir),
        }
        records = [
            record for own in subject.dataset.training(subject.data_dir, runs[0].trial).values() for record in own
        ]
        records += subject.benchmark.images if subject.benchmark else ()
        digest = data_digest(records, subject.data_dir, progress=subject.machine.progress)
    command = shlex.join(["tokenmatcher", "report", *sys.argv[2:]])
    return making_section(runs, versions=versions(), commit=commit(), digest=digest, command=command, facts=facts)
