"""Being told to end: SIGTERM (a scheduler's preemption or time limit) and SIGINT (Ctrl-C)."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Stopped(SystemExit):
    """The process was told to end and has saved what it had; its exit status says which signal it was."""


class StopSignals:
    """Takes note of signals that ask the process to end, for as long as its block lasts.

    Attributes
    ----------
    received : int or None
        The first such signal.
    """

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_if_received(self) -> None:
        """End the process if it was told to.

        Raises
        ------
        Stopped
        """
        if self.received is not None:
            raise Stopped(128 + self.received)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or number
