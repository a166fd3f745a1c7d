"""Two arms of a cell: the same thing measured twice, to see how far identical cells differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.cells import CellRecord
from collect.run import RunManifest
from collect.workloads import Benchmark, Questions, Workload

if TYPE_CHECKING:  # plans need no tables, which take a while to load
    from collect.tables import Tables

ARM = "arm"
"""The axis; cells have it only in a run that measures noise."""
FIRST, SECOND = "a", "b"
WITH_SPEED = (Benchmark, Questions)
"""Workloads whose trials have speeds that differ from repeat to repeat."""


def may_have_arms(workload: Workload) -> bool:
    """Return whether two arms of a workload's cells show noise."""
    return isinstance(workload, WITH_SPEED)


def is_second(cell: CellRecord) -> bool:
    """Return whether a cell is the second arm of another."""
    return cell.params.get(ARM) == SECOND


def has_arms(run: RunManifest) -> bool:
    """Return whether a run measured some cells twice."""
    return any(map(is_second, run.cells))


def first_arms(run: RunManifest, tables: Tables) -> tuple[RunManifest, Tables]:
    """A run without its second arms, as it would be if nothing had been measured twice.

    The same run and tables where nothing was.
    """
    if not has_arms(run):
        return run, tables
    cells = tuple(_without_arm(cell) for cell in run.cells if not is_second(cell))
    ids = {cell.cell_id for cell in cells}
    first = run.model_copy(
        update={
            "cells": cells,
            "trials": tuple(trial for trial in run.trials if trial.cell_id in ids),
            "axes": {axis: values for axis, values in run.axes.items() if axis != ARM},
        }
    )
    return first, tables.of_part(first)


def _without_arm(cell: CellRecord) -> CellRecord:
    params = {axis: value for axis, value in cell.params.items() if axis != ARM}
    return cell.model_copy(update={"params": params})
