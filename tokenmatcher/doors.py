"""What is asked for by name, or by the file that holds it: methods, matchers, listeners, data sets."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenmatcher.blame import PREFIX, blamed, place_of
from tokenmatcher.errors import SettingError, UserError

if TYPE_CHECKING:
    from tokenmatcher.listeners import Listener
    from tokenmatcher.methods.base import Method
    from tokenmatcher.mining.matchers.base import Matcher


class Known(NamedTuple):
    """Where a method is; its own matcher, for a help that does not wait for PyTorch."""

    module: str
    kind: str
    matcher: str | None


METHODS = {
    "tokenmatcher": Known("tokenmatcher.methods.tokenmatcher", "TokenMatcher", "greedy"),
    "sdcl": Known("tokenmatcher.methods.sdcl", "SDCL", None),
    "adca": Known("tokenmatcher.methods.adca", "ADCA", "counts"),
    "pgm": Known("tokenmatcher.methods.pgm", "PGM", "hungarian"),
}
MATCHERS = {
    name: f"tokenmatcher.mining.matchers.{name}"
    for name in ("greedy", "hungarian", "counts", "ranking", "mutual", "sinkhorn")
}


def find_method(asked: str) -> type[Method]:
    """The method of a name, or the one in a Python file.

    Raises:
        SettingError: no such method, or a file without exactly one.
    """
    if not _is_file(asked):
        if asked not in METHODS:
            raise _unknown("method", asked, METHODS)
        found: type[Method] = getattr(import_module(METHODS[asked].module), METHODS[asked].kind)
        return found
    from tokenmatcher.methods.base import Method

    kind: type[Method] = _only_class("method", asked, Method)
    if not isinstance(vars(kind).get("name"), str):  # checkpoints tell methods apart by it
        raise SettingError("{method} {file}: {kind} has no name of its own", file=asked, kind=kind.__name__)
    if kind.name in METHODS:
        raise SettingError("{method} {file}: the name {name} is taken", file=asked, name=kind.name)
    if not hasattr(kind, "presets"):
        raise SettingError("{method} {file}: {kind} has no presets", file=asked, kind=kind.__name__)
    if missing := sorted(kind.__abstractmethods__):
        raise SettingError(
            "{method} {file}: {kind} lacks {missing}", file=asked, kind=kind.__name__, missing=", ".join(missing)
        )
    return kind


def find_matcher(asked: str) -> Matcher:
    """The matcher of a name, or the function `match` of a Python file.

    Raises:
        SettingError: no such matcher, or a file without one.
    """
    if not _is_file(asked):
        if asked not in MATCHERS:
            raise _unknown("matcher", asked, MATCHERS)
        return import_module(MATCHERS[asked]).match
    module = _loaded("matcher", asked)
    match = getattr(module, "match", None)
    if not callable(match):
        raise SettingError("{matcher} {file}: has no function 'match'", file=asked)
    try:
        inspect.signature(match).bind(None)
    except TypeError as error:
        raise UserError(f"{place_of(match) or asked}: 'match' must take the clusters alone ({error})") from None
    return match


def find_listener(asked: str) -> Listener:
    """The listener in a Python file.

    Raises:
        SettingError: there is none.
    """
    from tokenmatcher.listeners import Listener

    made: Listener = made_from("listener", asked, Listener)
    return made


def made_from(kind: str, asked: str, base: Any) -> Any:
    """An object of the one class in a Python file that is of a kind.

    Raises:
        SettingError: there is none, or it cannot be made without arguments.
    """
    found: Any = _only_class(kind, asked, base)
    try:
        return found()
    except (Exception, SystemExit) as error:
        raise blamed(error) or SettingError(
            f"{_named(kind)}: {{name}} cannot be made ({{error}})", file=asked, name=found.__name__, error=error
        ) from None


def _is_file(asked: str) -> bool:
    return asked.endswith(".py") or "/" in asked


def _named(kind: str) -> str:
    """How a message calls a file: with its flag, which data sets have none of."""
    return "{file}" if kind == "dataset" else f"{{{kind}}} {{file}}"


def _unknown(kind: str, asked: str, known: Any) -> SettingError:
    return SettingError(
        f"{{{kind}}} {{asked}}: there is no such {kind}; there are {', '.join(known)}, or give a Python file",
        asked=asked if asked.strip() else repr(asked),
    )


def _only_class(kind: str, asked: str, base: type) -> Any:
    """The one class of a file that is of a kind."""
    module = _loaded(kind, asked)
    own = [
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, base) and found.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise SettingError(
            f"{_named(kind)}: holds {{count}} subclasses of {base.__name__}, and must hold one",
            file=asked,
            count=len(own),
        )
    for name, member in vars(own[0]).items():
        if not name.startswith("_") or (kind == "method" and name == "__init__"):
            _check_override(own[0], name, member, asked)
    return own[0]


def _check_override(kind: type, name: str, member: Any, asked: str) -> None:
    """A function that stands for one of its class's parents must take what that one takes.

    Raises:
        UserError: it does not, or is no function of that sort.
    """
    parent = next((vars(parent)[name] for parent in kind.__mro__[1:] if name in vars(parent)), None)
    if not isinstance(parent, FunctionType | classmethod | staticmethod):
        return
    where = f"{place_of(member) or asked}: {kind.__name__}.{name}"
    if type(member) is not type(parent):
        raise UserError(f"{where} must be a {type(parent).__name__}")
    parameters = inspect.signature(_bare(parent)).parameters.values()
    by_name = {one.name: None for one in parameters if one.kind is one.KEYWORD_ONLY}
    by_place = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    try:
        inspect.signature(_bare(member)).bind(*by_place, **by_name)
    except TypeError as error:
        raise UserError(f"{where} must take ({', '.join([*by_place, *by_name])}): {error}") from None


def _bare(member: Any) -> Any:
    return getattr(member, "__func__", member)


def _loaded(kind: str, asked: str) -> ModuleType:
    path = Path(asked)
    if not path.is_file():
        raise SettingError(f"{_named(kind)}: no such file", file=asked)
    name = f"{PREFIX}{kind}_{path.absolute()}"  # files of one name may lie in several folders
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise SettingError(f"{_named(kind)}: no Python file", file=asked)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        line = "" if error.lineno is None else f", line {error.lineno}"
        where = "" if error.filename in (None, str(path.absolute())) else f": {error.filename}"  # what it imports
        raise SettingError(f"{_named(kind)}{where}{line}: {{error}}", file=asked, error=error.msg) from None
    except (Exception, SystemExit) as error:
        raise blamed(error) or UserError(f"{asked}: {error!r}") from None
    return module
