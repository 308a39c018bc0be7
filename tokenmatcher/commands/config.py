"""`config.json`: what a run leaves, and what `--config` starts one from."""

from __future__ import annotations

import argparse
import json
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

from tokenmatcher.errors import SettingError, UserError, flag
from tokenmatcher.files import replacing
from tokenmatcher.recipe import Recipe

# Where a run starts from unless told otherwise, by network, and by preset if one has a start of its own.
_VIT = {"": Path("pretrained/vit_base_ics_cfs_lup.pth"), "demo": Path("pretrained/demo_vit.pth")}
_RESNET = {"": Path("pretrained/resnet50-0676ba61.pth")}  # torchvision's IMAGENET1K_V1
PRETRAINED: dict[str, dict[str, Path]] = {"token_vit": _VIT, "two_branch": _VIT, "resnet": _RESNET}
WEIGHTS = {"last": "last epoch", "best": "best on the test set"}

RUN_FLAGS = (
    "method", "matcher", "listener", "preset", "data_dir", "pretrained_path", "stages", "trial", "device", "precision",
    "compile", "recompute", "deterministic", "tensorboard", "seed", "resume",
)  # fmt: skip
EXAMPLE = '{"clusters": {"eps": 0.6}, "schedule": {"epochs": [20, 30]}}'
NOT_AGAIN = ("resume", "dataset", "commit")  # of a file's flags, those that another run does not take over


@dataclass(frozen=True)
class Config:
    """run: flags. groups: numbers of the recipe, by group and name; any may be left out. path: of the file."""

    run: dict[str, Any]
    groups: dict[str, dict[str, Any]]
    path: Path | None = None

    @classmethod
    def read(cls, path: Path, dataset: str) -> Config:
        """A file for a run on `dataset`.

        Raises:
            SettingError: it is not there, no JSON, of another data set, or holds a flag that there is not.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise SettingError("{config} {path}: cannot be read ({error})", path=path, error=error) from None
        run = content.pop("run", {}) if isinstance(content, dict) else None
        if not isinstance(run, dict):
            raise SettingError("{config} {path}: no configuration", path=path)
        if alone := [name for name, group in content.items() if not isinstance(group, dict)]:
            raise SettingError(
                "{config} {path}: {alone} is no group of numbers; write it such as {example}",
                path=path,
                alone=repr(alone[0]),
                example=EXAMPLE,
            )
        if run.get("dataset", dataset) != dataset:
            raise SettingError("{config} {path}: of data set {other}", path=path, other=run["dataset"])
        if unknown := sorted(run.keys() - {*RUN_FLAGS, *NOT_AGAIN}):
            raise SettingError("{config} {path}: 'run' has no {unknown}", path=path, unknown=", ".join(unknown))
        flags = {name: value for name, value in run.items() if name not in NOT_AGAIN}
        for name, value in flags.items():
            several = value if isinstance(value, list) and name == "listener" else [value]
            if not all(isinstance(one, str | int | float) for one in several):
                raise SettingError("{config} {path}: 'run' has {name} {value}", path=path, name=name, value=repr(value))
        truths = {"True": True, "False": False}  # as versions before 0.2 wrote them
        return cls({name: truths.get(str(value), value) for name, value in flags.items()}, content, path)

    def words(self) -> list[str]:
        """Its flags as a command line has them, so that each is checked as one is."""
        found = []
        for name, value in self.run.items():
            if isinstance(value, bool):
                found += [flag(name)] if value else []
            else:
                found += [f"{flag(name)}={one}" for one in (value if isinstance(value, list) else [value])]
        return found

    def put_into(self, recipe: Recipe) -> Recipe:
        """`recipe` with the file's numbers.

        Raises:
            UserError: it has no such number, or one is out of range.
        """
        values = recipe.to_dict()
        for name, group in self.groups.items():
            leaves = {leaf.name: leaf for leaf in fields(getattr(recipe, name))} if name in values else {}
            spread = {leaf: _spread(value, leaves.get(leaf)) for leaf, value in group.items()}
            values[name] = {**values.get(name, {}), **spread}
        try:
            return type(recipe).from_dict(values)
        except UserError as error:
            raise SettingError("{config} {path}: {error}", path=self.path, error=error) from None

    def leaves(self) -> set[str]:
        """The numbers that the file names."""
        return {name for group in self.groups.values() for name in group}


def _spread(value: Any, leaf: Field[Any] | None) -> Any:
    """One number where there may be several holds for all of them, as a flag's does."""
    if leaf is None or not isinstance(leaf.default, tuple) or not isinstance(value, int | float):
        return value
    return [value] * (1 if leaf.metadata["any_length"] else len(leaf.default))


def start_of(network: str, preset: str) -> Path:
    """The file that a network of a kind starts from."""
    return PRETRAINED[network].get(preset, PRETRAINED[network][""])


def write_config(folder: Path, given: argparse.Namespace, dataset: str, recipe: Recipe, seed: int) -> None:
    """Leave `config.json` in a run's folder; `seed` is the one that its random numbers come from, also where it was
    resumed with another.

    Raises:
        UserError: it cannot be written.
    """
    from tokenmatcher.inspection.provenance import commit  # nothing else in here needs it

    flags = {name: getattr(given, name) for name in RUN_FLAGS if getattr(given, name, None) not in (None, [])}
    checkout = commit()
    run = {
        "dataset": dataset,
        **({} if checkout is None else {"commit": checkout}),
        **{name: str(v) if isinstance(v, Path) else v for name, v in flags.items()},
        "seed": seed,
    }
    try:
        with replacing(folder / "config.json") as file:
            file.write(json.dumps({"run": run, **recipe.to_dict()}, indent=1).encode() + b"\n")
    except OSError as error:
        raise UserError(f"{folder / 'config.json'}: cannot be written ({error})") from None
