"""What was looked up and is in no catalogue: tests ask, programs do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_NOTED: ContextVar[set[str] | None] = ContextVar("misses", default=None)


@contextmanager
def noted() -> Iterator[set[str]]:
    """Note each text that is looked up inside and not found; others are left alone."""
    found: set[str] = set()
    before = _NOTED.set(found)
    try:
        yield found
    finally:
        _NOTED.reset(before)


def missed(text: str) -> None:
    """Note a text that was not found, if anyone asks."""
    if (found := _NOTED.get()) is not None:
        found.add(text)
