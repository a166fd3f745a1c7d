"""Prefill and decode by the length of the prompt, and decode by the position in the text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.cells.cells import CellResult, Rest
from analysis.cells.family import Compared, Family
from analysis.cells.labels import named_by, varying_axes
from analysis.cells.scaling import DECODE, LENGTH, compare
from analysis.cells.series import Series
from analysis.cells.token_times import DECODE_PHASE
from analysis.statistics.stats import Estimate, Ratio, estimate, paired_ratio
from collect.parsers.parser import parser_of
from collect.run import RunManifest
from collect.workloads import AFTER_PROMPT, DECODE_AXIS, PROMPT_AXES, Benchmark
from core.record import Scalar

PREFILL = "prompt_tokens_per_s"
FEWEST_TOKENS = 32
"""Decoded tokens of a trial from which a line through their times says something."""
PER = 1000
"""Positions over which a slope is given."""
BINS = 16
"""Points of a curve over positions."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LengthCell:
    """A cell with its numbers of tokens.

    Attributes:
        prefill: tokens/s of the prompt; None where the engine does not say.
        decode: tokens/s after it.
        prefill_speed_up: times the prefill of the fewest nodes with this prompt, by block.
        decode_speed_up: the same of decode.
        against_shortest: the comparison of its decode with that after the shortest prompt; None for
            the shortest, and where none is made.
    """

    cell: CellResult
    prompt: int
    generated: int
    prefill: Estimate | None
    decode: Estimate | None
    prefill_speed_up: Ratio | None
    decode_speed_up: Ratio | None
    against_shortest: Compared | None

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.cell.nodes


@dataclass(frozen=True, slots=True)
class Lengths:
    """Cells that differ only in the length of the prompt and in the number of nodes.

    Attributes:
        label: names what distinguishes it from the others; the engine if nothing does.
        cells: those that were measured, by nodes and prompt.
        decodes_after_prompt: its engine generates after the prompt, and not from nothing.
    """

    model: str
    label: str
    cells: tuple[LengthCell, ...]
    decodes_after_prompt: bool

    @property
    def by_nodes(self) -> Mapping[int, tuple[LengthCell, ...]]:
        """Number of nodes to its cells, shortest prompt first."""
        return {
            nodes: tuple(one for one in self.cells if one.nodes == nodes)
            for nodes in dict.fromkeys(one.nodes for one in self.cells)
        }


def lengths_of(
    run: RunManifest, all_series: Sequence[Series], family: Family
) -> tuple[Lengths, ...]:
    """Group the cells of a benchmark whose matrix names a number of tokens as an axis.

    Args:
        run: the run's plan.
        all_series: those on nodes.
        family: the comparisons of the report.
    """
    groups: dict[Rest, list[CellResult]] = {}
    for series in all_series:
        if set(PROMPT_AXES) & series.params.keys():
            rest = {axis: v for axis, v in series.params.items() if axis != LENGTH}
            key = tuple(sorted(rest.items()))
            groups.setdefault(key, []).extend(c for c in series.measured if not c.software)
    varying = [a for a in varying_axes(map(dict, groups)) if a != "model"]
    found = []
    for key, cells in groups.items():
        params = dict(key)
        if cells:
            found.append(
                Lengths(
                    model=str(params["model"]),
                    label=named_by(params, varying, otherwise=str(params["engine"])),
                    cells=tuple(_cells(run, cells, family)),
                    decodes_after_prompt=decodes_after_prompt(params),
                )
            )
    return tuple(found)


def decodes_after_prompt(params: Mapping[str, Scalar]) -> bool:
    """Whether the benchmark of a cell generates after the prompt; True for an unknown engine."""
    parser = parser_of(str(params["engine"]))
    is_after = parser is None or parser.decodes_after_prompt
    return is_after or params.get(DECODE_AXIS) == AFTER_PROMPT


def _cells(run: RunManifest, cells: Sequence[CellResult], family: Family) -> Iterator[LengthCell]:
    numbered = [(one, cell) for cell in cells if (one := benchmark_of(run, cell))]
    ordered = sorted(numbered, key=lambda one: (one[1].nodes, one[0].prompt_tokens))
    fewest: dict[int, CellResult] = {}
    shortest: dict[int, CellResult] = {}
    for asked, cell in ordered:
        base = fewest.setdefault(asked.prompt_tokens, cell)
        short = shortest.setdefault(cell.nodes, cell)
        yield LengthCell(
            cell=cell,
            prompt=asked.prompt_tokens,
            generated=asked.generate_tokens,
            prefill=cell.estimate(PREFILL),
            decode=cell.estimate(DECODE),
            prefill_speed_up=_speed_up(cell, base, PREFILL),
            decode_speed_up=_speed_up(cell, base, DECODE),
            against_shortest=compare(cell, short, family) if short is not cell else None,
        )


def benchmark_of(run: RunManifest, cell: CellResult) -> Benchmark | None:
    """The numbers of tokens of a cell; None if it does something else."""
    workload = run.workload_of(cell.record)
    return workload if isinstance(workload, Benchmark) else None


def _speed_up(cell: CellResult, base: CellResult, column: str) -> Ratio | None:
    if cell is base:
        return None
    return paired_ratio(cell.by_block(column), base.by_block(column))


@dataclass(frozen=True, slots=True)
class Positions:
    """How the time of a token of a cell goes with its position in the text.

    Attributes:
        group: the cell's.
        first: position of the first decoded token, from 0.
        last: that of the last.
        slope: ms by which a token takes longer `PER` positions later: the median over trials of
            the slope of a straight line through the times of each trial's tokens.
        curve: position to the median over trials of the mean ms of the tokens around it.
    """

    group: Lengths
    of: LengthCell
    first: int
    last: int
    slope: Estimate
    curve: Mapping[int, float]


def positions_of(found: Iterable[Lengths], tokens: pd.DataFrame) -> tuple[Positions, ...]:
    """Find how decode goes with the position, where an engine reports the time of each token.

    Args:
        found: the cells, in groups.
        tokens: the tokens table (see `collect.tables`).
    """
    if tokens.empty:
        return ()
    single = tokens[(tokens["phase"] == DECODE_PHASE) & (tokens["tokens"] == 1)]
    single = single.dropna(subset=["total_ms"]).sort_values("index")
    by_trial = single.groupby("trial_id")["total_ms"]
    times = {str(trial): own.to_numpy(dtype=float) for trial, own in by_trial}
    return tuple(
        made
        for group in found
        for one in group.cells
        if one.decode is not None and (made := _positions(group, one, times)) is not None
    )


def _positions(group: Lengths, one: LengthCell, times: Mapping[str, Floats]) -> Positions | None:
    own = [times[str(trial)] for trial in one.cell.done["trial_id"] if str(trial) in times]
    own = [ms for ms in own if len(ms) >= FEWEST_TOKENS]
    slope = estimate([_slope(ms) for ms in own])
    if slope is None:
        return None
    start = one.prompt if group.decodes_after_prompt else 0
    last = start + max(map(len, own)) - 1
    return Positions(group, one, start, last, slope, _curve(own, start))


def _slope(ms: Floats) -> float:
    """By how many ms a token takes longer `PER` positions later, by least squares."""
    places = (np.arange(len(ms)) - (len(ms) - 1) / 2) / PER
    return float(places @ ms / (places @ places))


def _curve(own: Sequence[Floats], start: int) -> dict[int, float]:
    edges = np.linspace(0, min(map(len, own)), BINS + 1).astype(int)
    return {
        int(start + (low + high) // 2): float(np.median([ms[low:high].mean() for ms in own]))
        for low, high in itertools.pairwise(edges)
    }
