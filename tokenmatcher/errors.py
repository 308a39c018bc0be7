"""The exceptions that a user is meant to read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any


def shown(text: str) -> str:
    """`text` for a terminal or log: names of files may hold line ends, escape sequences and stray bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def flag(setting: str) -> str:
    """How the command line calls a setting: `data_dir` is `--data-dir`."""
    return "--" + setting.replace("_", "-")


class UserError(Exception):
    """Something outside the program is wrong: a path, a file's content, a setting.

    Its text is a single line that names the file or setting. The entry scripts print that line
    and exit with status 2 (see `tokenmatcher.cli.run`); library callers may catch it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shown(" ".join(message.split())))

    def worded(self, name: Callable[[str], str]) -> str:
        """The text, with settings called what `name` makes of them."""
        return str(self)


class SettingError(UserError):
    """A setting is wrong, or does not fit another. Library callers read its name, users of the command line its flag.

    Args:
        template: `{name}` stands for the setting of that name, or for the one of `values`.
    """

    def __init__(self, template: str, **values: Any) -> None:
        self.template, self.values = template, values
        super().__init__(self._filled(lambda name: name))

    def _filled(self, name: Callable[[str], str]) -> str:
        return re.sub(
            r"\{(\w+)\}", lambda found: str(self.values.get(found[1], name(found[1]))), self.template, flags=re.ASCII
        )

    def worded(self, name: Callable[[str], str]) -> str:
        return shown(" ".join(self._filled(name).split()))

    def __reduce__(self) -> Any:
        return _again, (self.template, self.values)


def _again(template: str, values: dict[str, Any]) -> SettingError:
    return SettingError(template, **values)


class Interruption(BaseException):
    """A signal ended the run; everything up to the last save is on disk.

    Like KeyboardInterrupt no `Exception`: no handler for broken files may take it for one.

    Args:
        message: a line for the user.
        exit_status: what the process exits with.
        resumable: whether what was begun can be gone on with.
    """

    def __init__(self, message: str, exit_status: int, *, resumable: bool = False) -> None:
        super().__init__(message)
        self.exit_status, self.resumable = exit_status, resumable
