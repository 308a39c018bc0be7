"""What goes wrong in a user's own file is told in one line that names file and line."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from typing import Any

from tokenmatcher.errors import UserError

PREFIX = "tokenmatcher_file_"  # of the modules made from users' files


def blamed(error: BaseException) -> UserError | None:
    """In one line, with file and line, what went wrong inside a file that was asked for, or where a function of it
    cannot be called as it is; None: nothing did there."""
    frames = traceback.extract_tb(error.__traceback__)
    modules = [module for name, module in sys.modules.items() if name.startswith(PREFIX) and module is not None]
    files = {str(module.__file__) for module in modules}
    for frame in reversed(frames):
        if frame.filename in files:
            return UserError(f"{frame.filename}, line {frame.lineno}: {type(error).__name__}: {error}")
    if isinstance(error, TypeError) and (called := re.match(r"([\w.]+)\(\) ", str(error))):
        for module in reversed(modules):
            found: Any = module
            for name in called[1].split("."):
                found = getattr(found, name, None)
            if place_of(found).startswith(f"{module.__file__}, "):
                return UserError(f"{place_of(found)}: TypeError: {error}")
    return None


def place_of(function: Any) -> str:
    """File and line of a function, for a message that blames it; empty where Python does not know."""
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    return "" if code is None else f"{code.co_filename}, line {code.co_firstlineno}"


def returned(function: Any, value: Any, kind: type, *, or_none: bool = False) -> Any:
    """`value`, which a function behind one of the doors has returned.

    Raises:
        UserError: it is of another kind; blames the function.
    """
    if isinstance(value, kind) or (or_none and value is None):
        return value
    place, name = place_of(function), getattr(function, "__name__", repr(function))
    raise UserError(
        f"{place or name}: {name!r} must return a {kind.__name__}{' or None' if or_none else ''}, "
        f"not {type(value).__name__}"
    )
