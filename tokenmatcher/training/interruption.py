"""SIGTERM, SIGINT and SIGHUP: finish the step, save, stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tokenmatcher.errors import Interruption

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
EXIT_STATUS = 130  # for all of them: with 0 a script would go on to what follows the training


class Signals:
    """What has been asked of this process.

    Between steps a signal interrupts at once: whole files are on disk, and an epoch's start is saved. Within
    `deferred` it is only noted, for the training loop to ask about after each step. A second one interrupts
    in any case.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._deferring = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        again, self.received = self.received is not None, signal.Signals(number)
        if again or not self._deferring:
            self.interrupt()

    def interrupt(self) -> None:
        """Raise what was received.

        Raises:
            Interruption: always.
        """
        received = self.received or signal.SIGTERM
        raise Interruption(f"stopped by {received.name}", EXIT_STATUS, resumable=True)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False


@contextmanager
def caught_signals() -> Iterator[Signals]:
    """Handlers for SIGNALS while the body runs, the former ones after it. What is ignored, as by nohup, stays so."""
    signals = Signals()
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    former = {number: signal.signal(number, signals.handle) for number in heeded}
    try:
        yield signals
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
