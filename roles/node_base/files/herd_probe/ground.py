"""What all modules of the program use: lines of JSON, threads that begin together."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

SECONDS = 0.3
"""How long one figure is measured: several periods of a limit of CPU time (100 ms)."""
REPEATS = 3
"""Figures of each kind: one of several may be disturbed."""


def report(kind: str, **told: object) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps({"kind": kind, **told}) + "\n")
    sys.stdout.flush()


def remark(text: str, **told: object) -> None:
    """Say what was not measured, and why."""
    report("remark", text=text[:1000], **told)


def rates(work: Callable[[int], float], threads: int, seconds: float, repeats: int) -> list[float]:
    """Measure how much threads do in a second, all of them together.

    Args:
        work: does a piece as one thread, whose number it gets; how much that was.
        threads: that many begin at once.
        seconds: how long each figure is measured.
        repeats: how many figures.

    Returns:
        One figure for each repeat: the sum of the threads' own rates.
    """
    found = [[0.0] * repeats for _ in range(threads)]
    together = threading.Barrier(threads)

    def measure(number: int) -> None:
        for repeat in range(repeats):
            together.wait()
            found[number][repeat] = rate(work, number, seconds)

    others = [threading.Thread(target=measure, args=(n,), daemon=True) for n in range(1, threads)]
    for other in others:
        other.start()
    measure(0)
    for other in others:
        other.join()
    return [sum(one[repeat] for one in found) for repeat in range(repeats)]


def rate(work: Callable[[int], float], number: int, seconds: float) -> float:
    """How much one thread does in a second."""
    done = 0.0
    begun = time.perf_counter()
    while True:
        done += work(number)
        passed = time.perf_counter() - begun
        if passed >= seconds:
            return done / passed
