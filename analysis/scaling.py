"""Speed-up and efficiency over nodes, against a named baseline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.cells import CellResult, Series
from analysis.stats import Estimate, karp_flatt, paired_ratio

DECODE = "decode_tokens_per_s"


@dataclass(frozen=True, slots=True)
class Point:
    """A series at one number of nodes.

    Attributes:
        speed_up: tokens/s relative to the baseline, paired by block; its values are the blocks.
        efficiency: speed-up over (nodes / nodes of the baseline).
        serial_fraction: Karp & Flatt's; None at the baseline, or if that is not one node.
    """

    cell: CellResult
    speed_up: Estimate
    efficiency: float
    serial_fraction: float | None

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.cell.nodes


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a series goes with the number of nodes.

    Attributes:
        baseline: the smallest measured number of nodes.
        points: the measured cells, baseline first.
        best: the largest number of nodes that was worth it: going up, each number whose speed is
            above that of the best so far, with the whole interval above 1, becomes the best.
        steps: number of nodes to its speed relative to the best before it.
        missing: cells of fewer nodes than the baseline's, which could not be measured.
    """

    series: Series
    baseline: CellResult
    points: tuple[Point, ...]
    best: Point
    steps: dict[int, tuple[int, Estimate]]
    missing: tuple[CellResult, ...]

    @property
    def knee(self) -> int | None:
        """Nodes after which more do not pay.

        None while the largest number still does, or while some number after it has too few
        trials to tell.
        """
        later = [step for nodes, (_, step) in self.steps.items() if nodes > self.best.nodes]
        is_known = bool(later) and all(step.has_interval for step in later)
        return self.best.nodes if is_known else None

    @property
    def is_known(self) -> bool:
        """Some number of nodes has enough trials for a comparison."""
        return any(point.speed_up.has_interval for point in self.points[1:])

    def point(self, nodes: int) -> Point | None:
        """The point of that many nodes."""
        return next((point for point in self.points if point.nodes == nodes), None)


def scaling_of(series: Series, column: str = DECODE) -> Scaling | None:
    """How a series scales; None if nothing of it was measured, or it has no nodes: an API.

    Args:
        series: cells by nodes.
        column: a rate of the trials table; higher is better.
    """
    cells = [cell for cell in series.cells if cell.nodes and cell.by_block(column)]
    if not cells:
        return None
    baseline = cells[0]
    points = tuple(_point(cell, baseline, column) for cell in cells)
    best, steps = _climb(points, column)
    return Scaling(
        series=series,
        baseline=baseline,
        points=points,
        best=best,
        steps=steps,
        missing=tuple(cell for cell in series.cells if cell.nodes < baseline.nodes),
    )


def scalings_of(all_series: Iterable[Series]) -> tuple[Scaling, ...]:
    """The scaling of every series that was measured."""
    return tuple(found for series in all_series if (found := scaling_of(series)))


def compare(cell: CellResult, other: CellResult, column: str = DECODE) -> Estimate | None:
    """How many times the other's rate a cell has, paired by block; None without measurements."""
    return paired_ratio(cell.by_block(column), other.by_block(column), cell.seed)


def _point(cell: CellResult, baseline: CellResult, column: str) -> Point:
    speed_up = compare(cell, baseline, column)
    if speed_up is None:
        raise ValueError(f"the cell {cell.record.cell_id} has no {column}")
    is_speed_up_proper = baseline.nodes == 1
    return Point(
        cell=cell,
        speed_up=speed_up,
        efficiency=speed_up.value * baseline.nodes / cell.nodes,
        serial_fraction=karp_flatt(speed_up.value, cell.nodes) if is_speed_up_proper else None,
    )


def _climb(points: tuple[Point, ...], column: str) -> tuple[Point, dict[int, tuple[int, Estimate]]]:
    best = points[0]
    steps: dict[int, tuple[int, Estimate]] = {}
    for point in points[1:]:
        step = compare(point.cell, best.cell, column)
        if step is None:
            continue
        steps[point.nodes] = (best.nodes, step)
        if step.above_one:
            best = point
    return best, steps
