"""Doing the same for many nodes at once, but not for all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 32
"""Connections that are opened at once. More are no faster (a key exchange is work for this
machine), and the wait for each begins when its turn comes: a thousand nodes do not time out."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(do: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What came of each, in order; raises what the first that failed raised."""
    wanted = list(items)
    with ThreadPoolExecutor(max_workers=max(1, min(AT_ONCE, len(wanted)))) as pool:
        return list(pool.map(do, wanted))
