"""From the flags of training to a run."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tokenmatcher.blame import place_of, returned
from tokenmatcher.cli import bars
from tokenmatcher.commands.config import start_of, write_config
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.base import Dataset, Training
from tokenmatcher.distributed import Team, started_team
from tokenmatcher.doors import find_listener, find_matcher, find_method
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.files import only_one
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.listeners import Listener
from tokenmatcher.machine import Machine, Randomness, make_deterministic
from tokenmatcher.methods.base import Method, Stage
from tokenmatcher.models.base import Network
from tokenmatcher.models.files import load_file
from tokenmatcher.models.norms import divides
from tokenmatcher.models.weights import build_model
from tokenmatcher.recipe import Recipe
from tokenmatcher.report.header import run_header
from tokenmatcher.report.log import Console, JsonLines
from tokenmatcher.report.tensorboard import TensorBoard
from tokenmatcher.training.checkpoint import RunFolder, as_before
from tokenmatcher.training.interruption import caught_signals
from tokenmatcher.training.resuming import bring_over, checkpoint_to_resume, clear_leftovers, take_up
from tokenmatcher.training.trainer import Trainer

RANDOM_START = "none"


def train(
    given: argparse.Namespace,
    dataset: Dataset,
    recipe: Recipe,
    trial: int | None,
    folder: Path,
    named: Collection[str],
) -> None:
    """Train in `folder`, in all processes that torchrun started.

    Args:
        named: flags and numbers that were given.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    kind = find_method(given.method)
    matcher_name = kind.default_matcher if given.matcher is None else given.matcher
    if given.matcher is not None and kind.default_matcher is None:
        raise SettingError("{matcher} {asked}: method {name} takes none", asked=given.matcher, name=kind.name)
    matcher = None if matcher_name is None else find_matcher(matcher_name)
    listeners = [find_listener(file) for file in given.listener]
    names = kind.stage_names(dataset)
    stages = stages_from(given.stages, names)
    with caught_signals() as signals, started_team(given.device) as team, ExitStack() as held:
        if given.deterministic:
            make_deterministic()
        machine = Machine.chosen(given.device, given.precision, team=team, progress=bars(given.no_progress))
        if recipe.clusters.neighbour_search == "approximate" and find_spec("faiss") is None:
            raise SettingError("{neighbour_search} approximate: needs the package faiss-gpu or faiss-cpu")
        if given.tensorboard and find_spec("tensorboard") is None:
            raise SettingError("{tensorboard}: needs the package tensorboard")
        resumed, warnings = team.decide(lambda: checkpoint_to_resume(given.resume, folder, names, stages))
        if resumed is not None:
            recipe, notes = team.decide(partial(as_before, resumed, recipe, kind.name, named))
            warnings += notes
        records: Training = returned(dataset.training, dataset.training(given.data_dir, trial), dict)
        if absent := [m for m in Modality if not records.get(m)]:
            raise UserError(f"{place_of(dataset.training)}: {given.data_dir} has no {absent[0]} image to train on")
        random = Randomness(given.seed)
        if resumed is not None:
            network, start = kind.network(recipe), f"continues from {resumed}"
        elif stages[0] != names[0]:
            raise SettingError(
                f"{{stages}} {{asked}}: {{folder}} has no stage {names[0]} to start from",
                asked=given.stages,
                folder=folder,
            )
        else:
            network, start = _starting_network(given, kind, recipe)
        suffix = "" if trial is None else f"-trial{trial}"
        store_dir = given.store_dir or dataset.store_dir(given.data_dir)
        size = {"height": recipe.model.height, "width": recipe.model.width}
        with team.first_on_each_machine():
            images = {
                modality: ImageSet.load(
                    records[modality],
                    modality,
                    store_dir,
                    f"train-{modality}{suffix}",
                    **size,
                    interpolation=recipe.data.resize,
                    cluster_interpolation=recipe.data.cluster_resize,
                    progress=machine.progress,
                ).to(machine.device)
                for modality in Modality
            }
            evaluate = None
            if dataset.has_test(given.data_dir, trial):
                benchmark = dataset.tested(given.data_dir, trial)
                evaluate = Evaluator(benchmark, machine, **size, store_dir=store_dir, suffix=suffix)
        method = kind(recipe, dataset, images, machine, matcher)
        wanted = [stage for stage in method.stages() if stage.name in stages]
        _check_batches(recipe, team, wanted)
        best_of = {stage.start[0] for stage in wanted if stage.start and stage.start[1] == "best"}
        if evaluate is None and best_of & set(stages):
            raise SettingError("{stage2_start} best: there is no test data, by which an epoch could be the best")
        team.decide(lambda: held.enter_context(only_one(folder)))
        if team.leads:
            clear_leftovers(folder, names)
        console = Console(folder, silent=not team.leads)
        board = [TensorBoard(images)] if find_spec("tensorboard") else []
        own: list[Listener] = [console, JsonLines(folder), *board, *listeners] if team.leads else []
        trainer = Trainer(
            method=method,
            images=images,
            network=network.to(machine.device),
            machine=machine,
            random=random,
            folder=RunFolder(folder, kind.name, dataset.name, trial, recipe, given.keep, team, matcher_name),
            evaluate=evaluate,
            listeners=own,
            say=console.say,
            compiled=given.compile,
            signals=signals,
            save_minutes=given.save_every,
        )
        network.set_recompute(given.recompute)
        changed = [] if resumed is None else take_up(trainer, resumed)
        for listener in own:
            listener.on_begin(folder, trainer.records)
        if team.leads:  # a table's copies are looked for in here, which takes a while
            console.say(
                run_header(
                    dataset,
                    trial,
                    recipe,
                    images,
                    machine,
                    stages,
                    method=given.method,
                    matcher=matcher_name or "none",
                    seed=random.seed,
                    paper=kind.presets[dataset.preset_key].get("paper"),
                    published=kind.published.get(dataset.preset_key),
                    document=kind.document,
                    departures=[*kind.departures(recipe, dataset, matcher), *dataset.departures],
                )
            )
        for line in [*warnings, start, *changed]:
            console.say(line)
        if evaluate is None:
            console.say("no test data beside the training copy: nothing will be tested")
        if trainer.finished(stages):
            console.say("nothing is left to do")
            for listener in own:
                listener.on_end()
            return
        if resumed is not None:
            bring_over(trainer, resumed)
        if team.leads:
            write_config(folder, given, dataset.name, recipe, random.seed)
        trainer.train(stages)
        console.say(f"done: {folder}")


def stages_from(text: str | None, allowed: Sequence[str]) -> list[str]:
    """`1,camera,2` to a list, in order; None: all.

    Raises:
        SettingError: an unknown stage, or none.
    """
    if text is None:
        return list(allowed)
    asked = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [part for part in asked if part not in allowed]
    if wrong or not asked:
        raise SettingError(
            f"{{stages}} {{asked}}: choose from {', '.join(allowed)}, separated by commas", asked=repr(text)
        )
    return [stage for stage in allowed if stage in asked]


def _check_batches(recipe: Recipe, team: Team, stages: Sequence[Stage]) -> None:
    """Every batch norm group has as many images of each batch, and so has every process.

    Raises:
        SettingError: a batch does not divide.
    """
    groups = recipe.model.bn_groups
    if not divides(groups, team.size):
        raise SettingError(
            f"{{bn_groups}} {groups}: cannot be laid over {team.size} processes; one must divide the other"
        )
    for stage in stages:
        for modality in stage.batching.identities:
            images = stage.batching.images(modality)
            if images % team.size:
                raise SettingError(
                    f"{{batch_size}}: batches of {images} {modality} images (stage {stage.name}) do not divide by "
                    f"{team.size} processes"
                )
            if images % groups or images < 2 * groups:
                raise SettingError(
                    f"{{bn_groups}} {groups}: a batch of {images} {modality} images (stage {stage.name}) cannot be cut "
                    f"into {groups} equal groups of at least two"
                )


def _starting_network(given: argparse.Namespace, kind: type[Method], recipe: Recipe) -> tuple[Network, str]:
    """The untrained network and a line that says where its weights come from."""
    path = start_of(recipe.model.network, given.preset) if given.pretrained_path is None else given.pretrained_path
    if str(path) == RANDOM_START:
        return kind.network(
            recipe
        ), "starts from random weights: clusters usually collapse, see docs/troubleshooting.md"
    if not Path(path).exists():
        raise SettingError(
            "{pretrained_path} {path}: no such file; pretrained/README.md tells where it comes from "
            "('none' for random weights)",
            path=path,
        )
    network, report = build_model(load_file(path), source=str(path), config=recipe.model)
    return network, f"starts from {report}"
