"""Ctrl-C, and the signal that ends a service: the running step is finished and kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked_to_stop(note: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Give a function that says whether someone asked to stop; the second time ends at once.

    Args:
        note: hears that it was asked.
    """
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt
        note("Stopping after this step, which takes a moment; once more stops at once.")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals come to the main thread alone
        return
    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
