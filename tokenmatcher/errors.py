"""The exceptions that a user is meant to read."""


def shown(text: str) -> str:
    """`text` for a terminal or log: names of files may hold line ends, escape sequences and stray bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class UserError(Exception):
    """Something outside the program is wrong: a path, a file's content, a flag.

    Its text is a single line that names the file or flag. The entry scripts print that line
    and exit with status 2 (see `tokenmatcher.cli.run`); library callers may catch it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shown(" ".join(message.split())))


class Interruption(BaseException):
    """A signal ended the run; everything up to the last save is on disk.

    Like KeyboardInterrupt no `Exception`: no handler for broken files may take it for one.

    Args:
        message: a line for the user.
        exit_status: what the process exits with.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status
