"""Progress reporting for long-running work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from core.terminal import complain

_MIB = 1024 * 1024
_LINE_EVERY_S = 2.0
_MINUTE_S = 60
_HOUR_S = 3600


class Reporter(Protocol):
    """Hears what happens while a model is fetched or built."""

    def note(self, text: str) -> None:
        """One line about what is done, or why something else is tried."""

    def progress(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """So many bytes of `what` are there."""


class SilentReporter:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Drop the line."""

    def progress(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """Drop the figure."""


class LineReporter:
    """Passes on lines, and no progress in bytes.

    Args:
        say: hears each line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def note(self, text: str) -> None:
        """Pass the line on."""
        self._say(text)

    def progress(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """Drop the figure."""


class StderrReporter:
    """Writes lines to stderr, at most one every two seconds for progress."""

    def __init__(self) -> None:
        self._last_line_s = time.monotonic()

    def note(self, text: str) -> None:
        """Write the line."""
        complain(text)

    def progress(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """Write how far `what` is, if the last line is long enough ago."""
        now_s = time.monotonic()
        if now_s - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = now_s
            share = 100 * done_bytes // max(total_bytes, 1)
            complain(f"{what}: {done_bytes / _MIB:.0f} of {total_bytes / _MIB:.0f} MiB ({share} %)")


def spoken_time(seconds: float | None) -> str:
    """Seconds as a person says them; `unknown` for None."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
