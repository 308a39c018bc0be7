"""`tokenmatcher train`, `train_sysu.py`, `train_regdb.py`: their flags."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tokenmatcher.cli import Parser, add_data_dir, add_recipe_flags, count, minutes, recipe_from, seed
from tokenmatcher.commands.config import EXAMPLE, Config, start_of
from tokenmatcher.datasets import DATASETS, find_dataset
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.doors import MATCHERS, METHODS, find_method
from tokenmatcher.errors import SettingError, UserError, flag
from tokenmatcher.presets import PRESETS, Presets, chosen
from tokenmatcher.recipe import Recipe


def parser_for(dataset: Dataset, presets: Presets, method: str, matcher: str | None) -> Parser:
    """All flags of training by a method on a data set.

    Args:
        presets: the method's.
        matcher: its own; None: it takes none.
    """
    names = list(presets.get(dataset.preset_key, {}))
    starts = {
        name: start_of(recipe.model.network, name) for name, recipe in presets.get(dataset.preset_key, {}).items()
    }
    parser = Parser(
        f"Train {method} on {dataset.title}. Sources of the numbers: [P] paper, [C] published code, [D] ours."
    )
    group = parser.add_argument_group("run")
    add_data_dir(group, dataset, "data set with its training copy")
    group.add_argument(
        "--logs-dir", type=Path, default=Path("logs") / dataset.name, help="logs and checkpoints (default %(default)s)"
    )
    store = dataset.store_dir(Path(dataset.default_dir if dataset.in_one_file else "DATA_DIR"))
    group.add_argument(
        "--store-dir", type=Path, help=f"decoded images, 5 GB for SYSU-MM01 at 384x128 (default {store})"
    )
    group.add_argument(
        "--method",
        default=method,
        metavar="NAME|FILE.py",
        help=f"one of {', '.join(METHODS)}, or a Python file that holds one (default %(default)s)",
    )
    group.add_argument(
        "--matcher",
        metavar="NAME|FILE.py",
        help=f"method {method} takes none"
        if matcher is None
        else f"which visible cluster is which infrared one: {', '.join(MATCHERS)}, or a Python file "
        f"(default {matcher})",
    )
    group.add_argument(
        "--listener",
        action="append",
        default=[],
        metavar="FILE.py",
        help="a Python file that is told what the run does",
    )
    group.add_argument(
        "--preset", choices=names, default=names[0], help="all numbers below at once (default %(default)s)"
    )
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"a config.json that a run has left, or some lines of it, such as {EXAMPLE}; flags win",
    )
    group.add_argument(
        "--pretrained-path",
        help="start: a self-supervised file, a checkpoint, or 'none' "
        f"(default {', '.join(f'preset {name} {path}' for name, path in starts.items())})",
    )
    group.add_argument("--stages", help="which of the method's to do, separated by commas (default all)")
    if dataset.trials is not None:
        first, last = dataset.trials[0], dataset.trials[-1]
        group.add_argument(
            "--trial",
            type=int,
            default=first,
            help=f"split {first} to {last}, each with its own model (default {first})",
        )
    group.add_argument(
        "--resume", help="'auto': continue the run in LOGS_DIR if there is one; or a last.pt to continue"
    )
    group.add_argument(
        "--save-every",
        type=minutes,
        default=10.0,
        metavar="MINUTES",
        help="save within an epoch, too; 0: after every step (default %(default)s)",
    )
    group.add_argument(
        "--keep",
        type=count,
        default=1,
        metavar="N",
        help="former last.pt kept for when the newest is damaged (default %(default)s)",
    )
    group.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="(default %(default)s)")
    group.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="of the network's products; auto: bf16 on a GPU, fp32 on the CPU (default %(default)s)",
    )
    group.add_argument("--compile", action="store_true", help="let PyTorch compile the network's training pass")
    group.add_argument(
        "--recompute",
        action="store_true",
        help="gradient checkpointing: a third slower, fits a 24 GB GPU",
    )
    group.add_argument(
        "--deterministic", action="store_true", help="the same bits every time on a GPU, too; the CPU's always are"
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="refuse to start without the package tensorboard; where it is installed, curves are kept in any case",
    )
    group.add_argument("--seed", type=seed, default=1, help="of all random numbers (default %(default)s)")
    group.add_argument("--no-progress", action="store_true", help="no progress bars")
    if names:
        recipes = presets[dataset.preset_key]
        papers = _papers(presets, type(recipes[names[0]]))
        add_recipe_flags(parser, recipes, papers, many_cameras=dataset.many_cameras)
    return parser


def _papers(presets: Presets, kind: type[Recipe]) -> dict[str, Recipe]:
    """The published recipes, by title of the data set, of those with the same numbers."""
    found = {of.title: presets.get(of.name, {}).get("paper") for of in DATASETS}
    return {title: recipe for title, recipe in found.items() if type(recipe) is kind}


def main(dataset: str, arguments: Sequence[str] | None = None) -> None:
    """Train as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    data = find_dataset(dataset)
    first = Parser("", add_help=False)
    first.add_argument("--method")
    first.add_argument("--config", type=Path)
    asked = first.parse_known_args(arguments)[0]
    config = Config.read(asked.config, data.name) if asked.config else Config({}, {})
    method = config.run.get("method", "tokenmatcher") if asked.method is None else asked.method
    if method in METHODS:
        presets, matcher = PRESETS[method], METHODS[method].matcher
    else:
        kind = find_method(method)
        presets, matcher = kind.presets, kind.default_matcher
    if data.preset_key not in presets:
        raise SettingError("{method} {asked}: has no preset for data set {name}", asked=method, name=data.preset_key)
    parser = parser_for(data, presets, method, matcher).called(f"train {dataset}")
    try:
        parser.parse_args(config.words())
    except UserError as error:
        raise SettingError("{config} {path}: {error}", path=config.path, error=error.worded(flag)) from None
    given = parser.parse_args([*config.words(), *(sys.argv[1:] if arguments is None else arguments)])
    if given.resume == "":
        raise SettingError("{resume} '': neither 'auto' nor a file")
    recipe = recipe_from(given, config.put_into(data.fitted(chosen(presets, data.preset_key, given.preset))))
    trial = data.check_trial(given.trial) if data.trials is not None else None
    folder = given.logs_dir if trial is None else given.logs_dir / f"trial_{trial}"

    from tokenmatcher.commands.training import train

    train(given, data, recipe, trial, folder, set(vars(given)) | config.leaves())
