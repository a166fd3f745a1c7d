"""Speed-up and efficiency over nodes against a named baseline, and which numbers are best."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.cells.cells import CellResult, Rest, link_of
from analysis.cells.family import Claim, Compared, Family, Pair, Side
from analysis.cells.labels import DEVICE, GROUP, ON, ON_GPU
from analysis.cells.series import Series, thing
from analysis.statistics.stats import Ratio, karp_flatt, paired_ratio
from analysis.text.sentence import say
from analysis.text.wording import nodes as in_nodes
from collect.workloads import PROMPT_AXES
from core.record import Scalar

DECODE = "decode_tokens_per_s"
LENGTH = PROMPT_AXES[0]
SPEED = "tokens/s"
"""What comparisons of this module are of, as `comparisons.csv` calls it."""
_Chosen = dict[tuple[str, str], None]
"""Pairs of cells by their ids, in order."""
MOST_PAIRS = 300
"""Comparisons from which those of further kinds are left out: with six trials, one of so many still
finds a speed 1.3 times as high at 3 % of noise nineteen times of twenty."""


@dataclass(frozen=True, slots=True)
class Point:
    """A series at one number of nodes.

    Attributes:
        speed_up: tokens/s relative to the baseline, paired by block.
        against_base: the comparison with the baseline; None at the baseline itself.
        efficiency: speed-up over (nodes / nodes of the baseline).
        serial_fraction: Karp & Flatt's; None at the baseline, or if that is not one node.
    """

    cell: CellResult
    speed_up: Ratio
    against_base: Compared | None
    efficiency: float
    serial_fraction: float | None

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.cell.nodes

    @property
    def is_faster(self) -> bool:
        """It is faster than the baseline, beyond chance and beyond what counts as the same."""
        return self.against_base is not None and self.against_base.finding is Claim.FASTER


@dataclass(frozen=True, slots=True)
class Step:
    """From one number of nodes to the next that was measured.

    Attributes:
        before: nodes before it.
        found: the comparison of the later with the earlier.
    """

    before: int
    found: Compared


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a series goes with the number of nodes.

    Attributes:
        baseline: the smallest measured number of nodes.
        points: the measured cells, baseline first.
        best: the fewest nodes that are faster than the baseline and not slower than any other
            number; the baseline where none is. Where a report has too many comparisons to compare
            such numbers with each other, the one with the highest speed-up of them.
        steps: number of nodes to the step that leads to it; empty where a report has too many
            comparisons to make these, too.
        is_settled: every number beyond the best was found slower than the best, or no different.
        missing: cells of fewer nodes than the baseline's, which could not be measured.
    """

    series: Series
    baseline: CellResult
    points: tuple[Point, ...]
    best: Point
    steps: dict[int, Step]
    is_settled: bool
    missing: tuple[CellResult, ...]

    @property
    def beyond(self) -> tuple[Point, ...]:
        """The points of more nodes than the best."""
        return tuple(point for point in self.points if point.nodes > self.best.nodes)

    @property
    def knee(self) -> int | None:
        """Nodes after which more do not pay.

        Only where each number beyond the best was found slower than it, or no different: steps
        that are too small to be a difference may be one together.
        """
        return self.best.nodes if self.beyond and self.is_settled else None

    @property
    def is_known(self) -> bool:
        """Some number of nodes has enough trials for a comparison."""
        return any(point.against_base and point.against_base.is_tried for point in self.points)

    def point(self, nodes: int) -> Point | None:
        """The point of that many nodes."""
        return next((point for point in self.points if point.nodes == nodes), None)


def speed_pairs(all_series: Sequence[Series]) -> tuple[Pair, ...]:
    """What of the speeds of a run is compared; it depends on what was planned and done.

    Always each number of nodes of a series with its baseline, each link with the fastest of the
    same cell, and each length of the prompt with the shortest of the same cell. Then every two
    machines alone and every two orders of the same machines, if some are named. Then each cell of
    a setup with the setup's base, then neighbouring numbers of nodes, then every two numbers of a
    series, then every two cells of different series of one model, weights and numbers of tokens; a
    kind that would make them more than `MOST_PAIRS` is left out whole.
    """
    by_series = [_speeding(series) for series in all_series]
    base = [(cell, cells[0]) for cells in by_series for cell in cells[1:]]
    every = list(itertools.chain.from_iterable(by_series))
    others = [*_over_links(every), *_over_lengths(every)]
    steps = [(cell, before) for cells in by_series for before, cell in itertools.pairwise(cells)]
    within = [
        (cell, before) for cells in by_series for before, cell in itertools.combinations(cells, 2)
    ]
    chosen = _with({}, [*base, *others])
    cells = {cell.record.cell_id: cell for cells in by_series for cell in cells}
    for further in (
        _over_machines(all_series),
        _additions(all_series),
        steps,
        within,
        _rivals(all_series),
    ):
        more = _with(chosen, further)
        chosen = more if len(more) <= MOST_PAIRS else chosen
    names = {
        cell.record.cell_id: say("{who} on {in_nodes}", who=who, in_nodes=in_nodes(cell.nodes))
        for series in all_series
        if (who := thing(series, all_series))
        for cell in series.cells
    }
    return tuple(
        _pair(cells[one], cells[other], names)
        for one, other in chosen
        if one in cells and other in cells
    )


def _with(chosen: _Chosen, further: Iterable[tuple[CellResult, CellResult]]) -> _Chosen:
    """With further pairs of cells, each pair once whichever way round it is named."""
    more = dict(chosen)
    for one, other in map(_ids, further):
        if (other, one) not in more:
            more[one, other] = None
    return more


def _ids(pair: tuple[CellResult, CellResult]) -> tuple[str, str]:
    return pair[0].record.cell_id, pair[1].record.cell_id


def _pair(one: CellResult, other: CellResult, names: Mapping[str, str]) -> Pair:
    ratio = paired_ratio(one.by_block(DECODE), other.by_block(DECODE))
    first, second = (Side(cell.record.cell_id, names[cell.record.cell_id]) for cell in (one, other))
    return Pair(SPEED, first, second, len(ratio.blocks) if ratio else 0, ratio)


def _speeding(series: Series) -> list[CellResult]:
    """Cells whose speed may be compared: an API has none, and that of a software GPU is none."""
    return [
        cell for cell in series.cells if cell.nodes and not cell.software and cell.by_block(DECODE)
    ]


def _over_links(cells: Iterable[CellResult]) -> Iterator[tuple[CellResult, CellResult]]:
    """Each cell over a link that was shaped with the same over its fastest one."""
    groups: dict[object, list[CellResult]] = {}
    for cell in cells:
        rest, link = link_of(cell)
        if link is not None:
            groups.setdefault(rest, []).append(cell)
    for group in groups.values():
        fastest, *slower = sorted(group, key=lambda cell: link_of(cell)[1] or (0, 0.0))
        yield from ((cell, fastest) for cell in slower)


def _over_lengths(cells: Iterable[CellResult]) -> Iterator[tuple[CellResult, CellResult]]:
    """Each cell with a prompt whose length is an axis with the same cell's shortest prompt."""
    groups: dict[object, list[CellResult]] = {}
    for cell in cells:
        params = cell.record.params
        if LENGTH in params:
            rest = tuple(sorted((axis, v) for axis, v in params.items() if axis != LENGTH))
            groups.setdefault(rest, []).append(cell)
    for group in groups.values():
        shortest, *longer = sorted(group, key=lambda cell: int(cell.record.params[LENGTH]))
        yield from ((cell, shortest) for cell in longer)


def _over_machines(all_series: Iterable[Series]) -> list[tuple[CellResult, CellResult]]:
    """Every two machines alone, and every two orders of the same machines, with all else equal."""
    groups: dict[object, list[CellResult]] = {}
    for placed in places_of(all_series):
        for cell in (cell for series in placed for cell in _speeding(series)):
            alike = None if cell.nodes == 1 else frozenset(cell.record.nodes)
            groups.setdefault((id(placed), alike), []).append(cell)
    return [pair for cells in groups.values() for pair in itertools.combinations(cells, 2)]


def places_of(all_series: Iterable[Series]) -> list[list[Series]]:
    """Series that differ only in their machines (axis `on`), where some of them are named."""
    found: dict[object, list[Series]] = {}
    for series in all_series:
        rest = tuple(sorted((axis, v) for axis, v in series.params.items() if axis != ON))
        found.setdefault(rest, []).append(series)
    return [placed for placed in found.values() if any(series.is_named for series in placed)]


def task_of(series: Series) -> Rest:
    """The numbers of tokens of a series, where they are axes: only the same ones compete."""
    return tuple((axis, series.params[axis]) for axis in PROMPT_AXES if axis in series.params)


def shared_params(series: Series) -> dict[str, Scalar]:
    """The axes of a series without its device and its group of machines."""
    return {axis: v for axis, v in series.params.items() if axis not in (DEVICE, GROUP)}


def setups_of(all_series: Iterable[Series]) -> list[list[Series]]:
    """Series that differ only in their device and their group of machines: those on GPUs first."""
    found: dict[object, list[Series]] = {}
    for series in all_series:
        found.setdefault(tuple(sorted(shared_params(series).items())), []).append(series)
    return [
        sorted(group, key=lambda series: series.params.get(DEVICE) != ON_GPU)
        for group in found.values()
    ]


def base_of(setup: Iterable[Series]) -> CellResult | None:
    """The cell of a setup with which the others are compared: the first that may be compared.

    It is the GPU on the fewest machines. Where no GPU may be compared, it is the fewest machines
    of the first group.
    """
    return next((cell for series in setup for cell in _speeding(series)), None)


def _additions(all_series: Iterable[Series]) -> list[tuple[CellResult, CellResult]]:
    """Each cell of a setup with the setup's base."""
    return [
        (cell, base)
        for setup in setups_of(all_series)
        if (base := base_of(setup))
        for series in setup
        for cell in _speeding(series)
        if cell is not base
    ]


def _rivals(all_series: Sequence[Series]) -> list[tuple[CellResult, CellResult]]:
    groups: dict[object, list[Series]] = {}
    for series in all_series:
        key = (series.model, series.weights, task_of(series))
        groups.setdefault(key, []).append(series)
    return [
        (one, other)
        for group in groups.values()
        for first, second in itertools.combinations(group, 2)
        for one in _speeding(first)
        for other in _speeding(second)
    ]


def scaling_of(series: Series, family: Family | None = None) -> Scaling | None:
    """How a series scales; None if nothing of it was measured, or it has no nodes: an API.

    Args:
        series: cells by nodes.
        family: the comparisons of the report; by default those of this series alone.
    """
    cells = _speeding(series)
    if not cells:
        return None
    family = family or Family(speed_pairs([series]))
    baseline = cells[0]
    points = tuple(_point(cell, baseline, family) for cell in cells)
    best = _best(points, family)
    beyond = [compare(cell, best.cell, family) for cell in cells if cell.nodes > best.nodes]
    return Scaling(
        series=series,
        baseline=baseline,
        points=points,
        best=best,
        steps={
            cell.nodes: Step(before.nodes, found)
            for before, cell in itertools.pairwise(cells)
            if (found := compare(cell, before, family))
        },
        is_settled=all(found and found.finding in (Claim.SLOWER, Claim.SAME) for found in beyond),
        missing=tuple(cell for cell in series.cells if cell.nodes < baseline.nodes),
    )


def scalings_of(all_series: Sequence[Series], family: Family | None = None) -> tuple[Scaling, ...]:
    """The scaling of every series that was measured.

    Args:
        all_series: of the run.
        family: the comparisons of the report; by default those of these speeds.
    """
    family = family or Family(speed_pairs(all_series))
    return tuple(found for series in all_series if (found := scaling_of(series, family)))


def compare(cell: CellResult, other: CellResult, family: Family) -> Compared | None:
    """The comparison of two cells' speeds; None if the report does not make it."""
    return family.find(SPEED, cell.record.cell_id, other.record.cell_id)


def _point(cell: CellResult, baseline: CellResult, family: Family) -> Point:
    speed_up = paired_ratio(cell.by_block(DECODE), baseline.by_block(DECODE))
    if speed_up is None:
        raise ValueError(f"the cell {cell.record.cell_id} has no {DECODE}")
    if cell is baseline:
        speed_up = replace(speed_up, low=1.0, high=1.0)
    is_speed_up_proper = baseline.nodes == 1
    return Point(
        cell=cell,
        speed_up=speed_up,
        against_base=None if cell is baseline else compare(cell, baseline, family),
        efficiency=speed_up.value * baseline.nodes / cell.nodes,
        serial_fraction=karp_flatt(speed_up.value, cell.nodes) if is_speed_up_proper else None,
    )


def _best(points: Sequence[Point], family: Family) -> Point:
    faster = [point for point in points if point.is_faster]
    cells = [point.cell for point in points]
    unbeaten = [point for point in faster if is_unbeaten(point.cell, cells, family)]
    left = unbeaten or faster or list(points)
    if all(compare(one.cell, two.cell, family) for one, two in itertools.combinations(left, 2)):
        return left[0]
    return max(left, key=lambda point: point.speed_up.value) if faster else left[0]


def is_unbeaten(cell: CellResult, others: Iterable[CellResult], family: Family) -> bool:
    """No comparison found a cell slower than another of these."""
    found = (compare(cell, other, family) for other in others if other is not cell)
    return all(one is None or one.finding is not Claim.SLOWER for one in found)
