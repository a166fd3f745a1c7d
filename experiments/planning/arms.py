"""Cells of a matrix with `noise: true`: each that has a speed on this cluster is two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from collect.arms import ARM, FIRST, SECOND, may_have_arms
from collect.workloads import Workload
from core.errors import HerdError
from experiments.engines.base import Cell


def noise_problem(workloads: Sequence[Workload]) -> str | None:
    """Say why no cell of these workloads can have two arms; None where some can."""
    if not workloads or any(map(may_have_arms, workloads)):
        return None  # of no workload at all another sentence tells
    kinds = " and ".join(dict.fromkeys(workload.kind for workload in workloads))
    return (
        f"two identical arms show how far speeds differ, and a workload {kinds} is about texts, "
        "which are the same or not: use it with the workload benchmark or questions, or leave it "
        "out"
    )


def with_arms(cells: Sequence[Cell], file: str) -> tuple[Cell, ...]:
    """Each cell as two arms, where its workload has a speed and it runs on nodes.

    Args:
        cells: of a matrix, each once.
        file: of the matrix, for the message.

    Raises:
        HerdError: no cell can have two.
    """
    made = tuple(arm for cell in cells for arm in _arms(cell))
    if len(made) == len(cells):
        raise HerdError(
            f"Reading the matrix {file}: `noise` has no cell to measure twice: all are APIs, whose "
            "times are not those of this cluster. Leave out `noise`, or add a system on nodes."
        )
    return made


def _arms(cell: Cell) -> Iterator[Cell]:
    if cell.endpoint is not None or not may_have_arms(cell.workload):
        yield cell
        return
    for arm in (FIRST, SECOND):
        yield replace(cell, params={**cell.params, ARM: arm})
