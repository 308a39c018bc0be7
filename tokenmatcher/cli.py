"""What the entry scripts share: flags made from the presets, and one way to end."""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

from tokenmatcher.blame import blamed
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.errors import Interruption, SettingError, UserError, flag
from tokenmatcher.recipe import Recipe

Number = TypeVar("Number", int, float)


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` and exit: 0 when it returns, 2 with one line for a `UserError` or `OSError`, 130 when interrupted
    (training: see `training.interruption`), 141 where nobody reads its output any more."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files are shown on any terminal
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")  # `images.pictures` refuses such images
    heeded = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    former = {n: signal.signal(n, _stopped) for n in heeded if signal.getsignal(n) is not signal.SIG_IGN}  # as by nohup
    try:
        try:
            main()
        except SystemExit:  # of argparse, after its help
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it goes nowhere
        sys.exit(128 + signal.SIGPIPE)
    except UserError as error:
        print(f"error: {error.worded(flag)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {UserError(str(error))}", file=sys.stderr)  # its text names the file
        sys.exit(2)
    except Interruption as stop:
        if os.environ.get("RANK", "0") == "0":  # of several processes the first speaks
            goes_on = f"; the same command with {flag('resume')} auto goes on" if stop.resumable else ""
            print(f"{stop}{goes_on}", file=sys.stderr)
        sys.exit(stop.exit_status)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except (Exception, SystemExit) as error:  # a file of one's own may call exit
        if (blame := blamed(error)) is None:
            raise
        print(f"error: {blame}", file=sys.stderr)
        sys.exit(2)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    sys.exit(0)


def _stopped(number: int, _frame: FrameType | None) -> NoReturn:
    """What was begun is cleared away; training handles its signals itself."""
    raise Interruption(f"stopped by {signal.Signals(number).name}", 130)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are `UserError`s: one line, no usage block."""

    def __init__(self, description: str, **options: Any) -> None:
        super().__init__(description=description, formatter_class=_Formatter, allow_abbrev=False, **options)

    def called(self, command: str) -> Parser:
        """Itself, with the words in its usage that it was called by: a script's name, or `tokenmatcher COMMAND`."""
        name = Path(sys.argv[0]).name
        if name in ("__main__.py", "tokenmatcher"):
            self.prog = f"{'python -m ' if name == '__main__.py' else ''}tokenmatcher {command}"
        return self

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=118)


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Of every command that embeds pictures."""
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="(default %(default)s)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")


def add_data_dir(group: argparse._ActionsContainer, dataset: Dataset, text: str) -> None:
    """`--data-dir`, but for a data set whose file says where its images are."""
    if dataset.in_one_file:
        group.set_defaults(data_dir=dataset.default_dir)
    else:
        group.add_argument("--data-dir", type=Path, default=dataset.default_dir, help=f"{text} (default %(default)s)")


def add_recipe_flags(
    parser: argparse.ArgumentParser,
    presets: Mapping[str, Recipe],
    papers: Mapping[str, Recipe],
    *,
    many_cameras: bool,
) -> None:
    """A flag for every number of a method, grouped by topic; absent from the result unless given.

    Args:
        presets: by name; the first one's numbers are shown as defaults, the others' where they differ.
        papers: the published ones, by data set; shown where they differ.
        many_cameras: whether the data set has several cameras of a modality.
    """
    first = next(iter(presets.values()))
    for topic in fields(first):
        config = getattr(first, topic.name)
        if getattr(config, "NEEDS_CAMERAS", False) and not many_cameras:
            continue  # there is nothing to tell apart
        group = parser.add_argument_group(str(type(config).__doc__))
        for leaf in fields(config):
            default = getattr(config, leaf.name)
            names = [flag(leaf.name)] + (["-b"] if leaf.name == "batch_size" else [])
            of_presets, of_papers = (
                {name: getattr(getattr(recipe, topic.name), leaf.name) for name, recipe in recipes.items()}
                for recipes in (presets, papers)
            )
            text = _described(leaf.metadata["help"].replace("[M]", first.SOURCE), of_presets, of_papers)
            group.add_argument(
                *names,
                dest=leaf.name,
                default=argparse.SUPPRESS,
                help=text.replace("%", "%%"),
                **_kind(default, leaf.metadata["choices"]),
            )


def _described(text: str, of_presets: Mapping[str, Any], of_papers: Mapping[str, Any]) -> str:
    """The help of a number: `text`, in front of its source the papers' values where they differ, then the presets'."""
    default = next(iter(of_presets.values()))
    differs = "".join(f", {name} {_text(value)}" for name, value in of_presets.items() if value != default)
    if len(set(of_papers.values())) > 1:
        values = ", ".join(f"{name} {_text(value)}" for name, value in of_papers.items())
        text = re.sub(r"( \[[^]]*\])?$", lambda source: f"; {values}{source[0]}", text, count=1)
    return f"{text} (default {_text(default)}{differs})"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _kind(default: Any, choices: tuple[str, ...] | None) -> dict[str, Any]:
    if isinstance(default, bool):
        return {"action": argparse.BooleanOptionalAction}
    if isinstance(default, tuple):
        return {"type": type(default[0]), "nargs": "+", "metavar": type(default[0]).__name__.upper()[0]}
    if choices:
        return {"choices": choices}
    return {"type": type(default), "metavar": type(default).__name__.upper()[0]}


def recipe_from(arguments: argparse.Namespace, recipe: Recipe) -> Recipe:
    """`recipe` with the flags that were given put in.

    Raises:
        SettingError: a value is out of range, or a flag has the wrong number of values.
    """
    given: dict[str, Any] = {}
    for topic in fields(recipe):
        config = getattr(recipe, topic.name)
        for leaf in fields(config):
            if not hasattr(arguments, leaf.name):
                continue
            value, default = getattr(arguments, leaf.name), getattr(config, leaf.name)
            if isinstance(default, tuple):
                fixed = not leaf.metadata["any_length"]
                value = tuple(value) * len(default) if fixed and len(value) == 1 else tuple(value)
                if fixed and len(value) != len(default):
                    raise SettingError(f"{{{leaf.name}}} takes one value or {len(default)}, got {len(value)}")
            given[leaf.name] = value
    return recipe.override(given)


def bars(unwanted: bool) -> bool:
    """Whether there are progress bars: not if `--no-progress` was given, nor where they would fill a file or a pipe."""
    return not unwanted and sys.stderr.isatty()


def number(text: str, kind: type[Number], fits: Callable[[Number], bool], allowed: str) -> Number:
    """What a flag's `type=` makes of a number.

    Raises:
        ArgumentTypeError: it is none, or does not fit; says what is allowed.
    """
    with suppress(ValueError):
        if fits(value := kind(text)):
            return value
    raise argparse.ArgumentTypeError(f"must be {allowed}, got {text!r}")


def seed(text: str) -> int:
    """A seed that every generator takes; for `type=` of a flag."""
    return number(text, int, lambda value: 0 <= value < 2**63, "a whole number of at least 0, below 2^63")


def count(text: str) -> int:
    """A number of things, not negative; for `type=` of a flag."""
    return number(text, int, lambda value: value >= 0, "a whole number of at least 0")


def rate(text: str) -> float:
    """A share between 0 and 1; for `type=` of a flag."""
    return number(text, float, lambda value: 0 < value < 1, "above 0 and below 1")


def file(text: str) -> Path:
    """A path that is not empty; for `type=` of a flag."""
    return Path(place(text))


def place(text: str) -> str:
    """Where an index or a page is, not empty; for `type=` of a flag."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must not be empty, got {text!r}")
    return text


def minutes(text: str) -> float:
    """A length of time, not negative; for `type=` of a flag."""
    return number(text, float, lambda value: 0 <= value < float("inf"), "a number of minutes, 0 or more")
