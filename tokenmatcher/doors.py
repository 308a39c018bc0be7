"""What is asked for by name, or by the file that holds it: methods, matchers, listeners, data sets."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tokenmatcher.errors import SettingError, UserError

if TYPE_CHECKING:
    from tokenmatcher.listeners import Listener
    from tokenmatcher.methods.base import Method
    from tokenmatcher.mining.matchers.base import Matcher


METHODS = {
    "tokenmatcher": ("tokenmatcher.methods.tokenmatcher", "TokenMatcher"),
    "sdcl": ("tokenmatcher.methods.sdcl", "SDCL"),
    "adca": ("tokenmatcher.methods.adca", "ADCA"),
    "pgm": ("tokenmatcher.methods.pgm", "PGM"),
}
MATCHERS = {
    name: f"tokenmatcher.mining.matchers.{name}"
    for name in ("greedy", "hungarian", "counts", "ranking", "mutual", "sinkhorn")
}
PREFIX = "tokenmatcher_file_"  # of the modules made from files


def find_method(asked: str) -> type[Method]:
    """The method of a name, or the one in a Python file.

    Raises:
        SettingError: no such method, or a file without exactly one.
    """
    if not _is_file(asked):
        if asked not in METHODS:
            raise _unknown("method", asked, METHODS)
        module, name = METHODS[asked]
        found: type[Method] = getattr(import_module(module), name)
        return found
    from tokenmatcher.methods.base import Method

    kind: type[Method] = _only_class("method", asked, Method)
    for name in ("name", "presets"):
        if not hasattr(kind, name):
            raise SettingError("{method} {file}: {kind} has no {name}", file=asked, kind=kind.__name__, name=name)
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
        where = f"{asked}, line {match.__code__.co_firstlineno}" if inspect.isfunction(match) else asked
        raise SettingError(
            "{matcher} {where}: 'match' must take the clusters alone ({error})", where=where, error=error
        ) from None
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
    except Exception as error:
        raise blamed(error) or SettingError(
            f"{{{kind}}} {{file}}: {{name}} cannot be made ({{error}})", file=asked, name=found.__name__, error=error
        ) from None


def blamed(error: BaseException) -> UserError | None:
    """In one line, with file and line, what went wrong inside a file that was asked for; None: nothing did there."""
    frames = traceback.extract_tb(error.__traceback__)
    files = {
        str(module.__file__) for name, module in sys.modules.items() if name.startswith(PREFIX) and module is not None
    }
    for frame in reversed(frames):
        if frame.filename in files:
            return UserError(f"{frame.filename}, line {frame.lineno}: {type(error).__name__}: {error}")
    return None


def _is_file(asked: str) -> bool:
    return asked.endswith(".py") or "/" in asked


def _unknown(kind: str, asked: str, known: Any) -> SettingError:
    return SettingError(
        f"{{{kind}}} {{asked}}: there is no such {kind}; there are {', '.join(known)}, or give a Python file",
        asked=asked,
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
            f"{{{kind}}} {{file}}: holds {{count}} subclasses of {base.__name__}, and must hold one",
            file=asked,
            count=len(own),
        )
    return own[0]


def _loaded(kind: str, asked: str) -> ModuleType:
    path = Path(asked)
    if not path.is_file():
        raise SettingError(f"{{{kind}}} {{file}}: no such file", file=asked)
    name = f"{PREFIX}{kind}_{path.absolute()}"  # files of one name may lie in several folders
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise SettingError(f"{{{kind}}} {{file}}: no Python file", file=asked)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise SettingError(
            f"{{{kind}}} {{file}}, line {error.lineno}: {{error}}", file=asked, error=error.msg
        ) from None
    except Exception as error:
        raise blamed(error) or UserError(f"{asked}: {error!r}") from None
    return module
