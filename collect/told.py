"""What a run asks, and what its report found, in a few words: for lists of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from collect.run import RunManifest
from core.errors import HerdError
from core.foreign import FileName, one_line
from core.record import Record, Scalar, Words, read_record

VERDICT_FILE = "verdict.json"
FIRST = ("system", "engine", "model", "weights", "nodes")
LONGEST = 4000
"""Characters of a verdict that are kept."""
NAMELESS = ("system", "engine", "model")
"""Axes whose values say what they are."""
MOST_VALUES = 6
"""Values of an axis that are named; of more, the first ones."""


class VerdictRecord(Record):
    """What a report found, next to its page.

    Attributes:
        run: name of the run.
        verdict: a sentence and its reservations.
        done: trials of the run that were done then: more of them since, and it is out of date.
        planned: trials that were planned then.
    """

    schema_version: Literal[1] = 1
    run: FileName
    verdict: Words
    done: int
    planned: int


def read_verdict(report: Path, run: str) -> VerdictRecord | None:
    """Read what a report found; None if there is none, or it is damaged or of another run.

    Args:
        report: folder of the report; never written to.
        run: name of the run.
    """
    try:
        found = read_record(report, VERDICT_FILE, VerdictRecord, f"Reading {report}", "")
    except HerdError:
        return None
    return found if found is not None and found.run == run else None


def asked_axes(run: RunManifest) -> list[tuple[str, tuple[Scalar, ...]]]:
    """The axes of systems, and all that vary, with their values: they say what a matrix asked."""
    named = [axis for axis in FIRST if axis in run.axes]
    varying = [axis for axis in run.axes if len(run.axes[axis]) > 1 and axis not in named]
    return [(axis, run.axes[axis]) for axis in (*named, *varying) if run.axes[axis]]


def kinds_asked(run: RunManifest) -> tuple[str, ...]:
    """The kinds of its workloads, each once."""
    return tuple(dict.fromkeys(workload.kind for workload in run.workloads))


def question_of(run: RunManifest) -> str:
    """Say in English what a matrix asked: its title, and the axes that vary in it.

    `Scaling over nodes (benchmark): distributed-llama, llama.cpp; stories15m; nodes 1, 2, 4`
    """
    told = (_axis(axis, values) for axis, values in asked_axes(run))
    return one_line(f"{run.title} ({', '.join(kinds_asked(run))}): {'; '.join(told)}", 300)


def _axis(axis: str, values: tuple[Scalar, ...]) -> str:
    shown = ", ".join(str(value) for value in values[:MOST_VALUES])
    more = len(values) - MOST_VALUES
    listed = f"{shown} and {more} more" if more > 0 else shown
    return listed if axis in NAMELESS else f"{axis} {listed}"
