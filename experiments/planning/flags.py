"""What flags may say about a matrix in addition to the values of its axes."""

from __future__ import annotations

from collect.workloads import Documents, Greedy, Workload
from core.errors import HerdError
from core.foreign import LARGEST_COUNT, one_line

MOST_REPEATS = 10_000
OWN_FLAGS = frozenset({"nodes", "engine", "model", "weights"})
"""Axes with a flag of their name; others are given with `--set`."""

FLAGS_ONLY = dict.fromkeys(
    ("until", "most"),
    "a matrix does not say how long a run measures: leave it out, and give `--until 3%` to "
    "`fab run-matrix`; `fab tune` decides for each setting how many trials it gets",
)
"""Keys that someone may look for, and what would be right."""


def flag_of(axis: str) -> str:
    """Return how an axis is given on the command line: by its own flag, or with `--set`."""
    return f"--{axis}" if axis in OWN_FLAGS else f"--set {one_line(axis, 80)}"


def number_of_flag(name: str, value: int | str) -> int:
    """Read `--repeats` or `--seed`.

    Raises:
        HerdError: it is no whole number, or none that a matrix may have.
    """
    shown = one_line(str(value), 40)
    try:
        number = int(value)
    except ValueError:
        raise HerdError(f"--{name} {shown}: give a whole number.") from None
    least, most = (1, MOST_REPEATS) if name == "repeats" else (-LARGEST_COUNT, LARGEST_COUNT)
    if not least <= number <= most:
        raise HerdError(f"--{name} {shown}: give {least} to {most}.")
    return number


def refuse_repeats(number: int, title: str, workload: Workload | None) -> None:
    """Refuse `--repeats` for a matrix whose workloads have their own.

    Args:
        number: that was given.
        title: of the matrix.
        workload: of the matrix; None where each part has its own.

    Raises:
        HerdError: they have.
    """
    if workload is None:
        own = f"each part of {title} has its own repeats. Leave out --repeats, or change them"
    elif isinstance(workload, Greedy):
        own = (
            f"the trials of {title} are its prompts and its text, once each. Leave out --repeats, "
            "or change the prompts"
        )
    elif isinstance(workload, Documents):
        own = (
            f"the trials of {title} are its documents, once each. Leave out --repeats, or change "
            "`count`"
        )
    else:
        return
    raise HerdError(f"--repeats {number}: {own} in the matrix.")
