"""How many repeats it takes until the interval of a speed is as narrow as wanted.

A pilot shows how a cell's trials vary. The number is such that the half width of the interval of
the median is at most the wanted share of it in 85 % of runs, if later trials vary like the pilot's:
independently, with normal logarithms. It allows for how little a few trials say about a spread.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from collect.workloads import Benchmark, Workload
from core.errors import HerdError
from core.foreign import one_line
from core.median import FEWEST, interval_rank
from core.percent import share_typed
from experiments.fleet import commands
from experiments.planning.plan import Plan

REACHED = 0.85
"""Share of runs with the number of repeats that reach the precision."""
LEAST_PILOT = 3
"""Trials that say anything about a spread."""
DRAWS = 1000
MOST_REPEATS = 2000
"""More are not looked for: no one waits for them."""
SEED = 1
NARROWEST, WIDEST = 0.001, 0.5
USUAL_MOST = 60
"""Trials of a cell with `--until` and without `--most`, however wide its interval is."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """What was measured of a cell before.

    Attributes:
        run: name of the run.
        rates: tokens/s of its trials that are done.
    """

    run: str
    rates: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithms."""
        return statistics.stdev(math.log(rate) for rate in self.rates)


def share_of(text: str, flag: str) -> float:
    """Read a share as `3%`.

    Raises:
        HerdError: it is none, or not from 0.1 % to 50 %.
    """
    share = share_typed(text)
    if not NARROWEST <= share <= WIDEST:
        raise HerdError(
            f"--{flag} {one_line(text, 40)}: give half the width of the 95 % interval of tokens/s "
            f"as a share of it, from 0.1% to 50%, such as --{flag} 3%."
        )
    return share


def require_speed(workloads: Iterable[Workload], share: float | None, flag: str) -> None:
    """See that something of a matrix has a speed that can be known precisely.

    Args:
        workloads: of the matrix.
        share: that the flag asks for; None where it was not given.
        flag: its name, without dashes.

    Raises:
        HerdError: it has no benchmark.
    """
    kinds = [workload.kind for workload in workloads]
    if share is not None and Benchmark().kind not in kinds:
        raise HerdError(
            f"--{flag} {100 * share:g}%: it is about tokens/s of the workload benchmark, and this "
            f"matrix has {' and '.join(dict.fromkeys(kinds))}. Leave out --{flag}."
        )


def repeats_for(pilot: Sequence[float], precision: float) -> int | None:
    """How many repeats reach a precision in 85 % of runs.

    Args:
        pilot: tokens/s of three trials or more.
        precision: half width of the interval as a share of the median.

    Returns:
        Six or more; None if 2000 do not.
    """
    spread = statistics.stdev(math.log(rate) for rate in pilot)
    numbers = _numbers()
    at = bisect.bisect_left(
        numbers, -precision, key=lambda number: -spread * _width(number, len(pilot))
    )
    return numbers[at] if at < len(numbers) else None


@cache
def _numbers() -> tuple[int, ...]:
    """Numbers of trials whose interval is narrower than with one trial less."""
    ranks = [(n, interval_rank(n)[0]) for n in range(FEWEST, MOST_REPEATS + 1)]
    later = (n for (_, before), (n, rank) in itertools.pairwise(ranks) if rank > before)
    return (FEWEST, *later)


@lru_cache(maxsize=1024)
def _width(repeats: int, pilot: int) -> float:
    """The half width that 85 % of runs stay below, in standard deviations of such a pilot.

    Both vary: the width of the run for its true spread, and the pilot's spread around it.
    """
    draw = np.random.default_rng(SEED)
    values = np.sort(draw.standard_normal((DRAWS, repeats)), axis=1)
    rank, _ = interval_rank(repeats)
    widths = (values[:, repeats - rank] - values[:, rank - 1]) / 2
    scales = np.sqrt((pilot - 1) / draw.chisquare(pilot - 1, DRAWS))
    return float(np.quantile(widths * scales, REACHED))


def precision_lines(plan: Plan, pilots: Mapping[str, Pilot], precision: float) -> list[str]:
    """How many repeats each cell takes, as `fab plan` prints it.

    Args:
        plan: with its cells.
        pilots: of cells, by id.
        precision: wanted half width as a share.
    """
    told = f"{100 * precision:g} %"
    title = (
        f"Repeats until the 95 % interval of tokens/s is within ±{told} of the median, reached in "
        f"about {100 * REACHED:.0f} % of runs:"
    )
    assumed = (
        "This assumes that trials vary like those of the pilot: independently, with normal "
        "logarithms. A day with other heat or load may need more."
    )
    cells = _cell_lines(plan, pilots, precision)
    return [title, *cells, assumed, *_advice(plan, pilots, precision)]


def _cell_lines(plan: Plan, pilots: Mapping[str, Pilot], precision: float) -> Iterator[str]:
    for cell in plan.cells:
        name, pilot = plan.label(cell), pilots.get(cell.cell_id)
        if not isinstance(plan.by_id[cell.cell_id].workload, Benchmark):
            yield f"  {name}: not a benchmark; --precision is about its tokens/s"
        elif cell.unavailable is not None:
            yield f"  {name}: it cannot run"
        elif pilot is None:
            yield f"  {name}: no pilot"
        elif len(pilot.rates) < LEAST_PILOT:
            yield f"  {name}: {pilot.run} has {len(pilot.rates)}, and a pilot needs {LEAST_PILOT}"
        else:
            number = repeats_for(pilot.rates, precision)
            basis = f"{len(pilot.rates)} trials of {pilot.run} vary by {100 * pilot.spread:.2g} %"
            yield f"  {name}: {number or f'more than {MOST_REPEATS}'} ({basis})"


def _advice(plan: Plan, pilots: Mapping[str, Pilot], precision: float) -> list[str]:
    """What to do next: measure a pilot of cells that have none, or let cells stop by themselves."""
    flags = (*(plan.matrix.flags or ()), *(("--noise",) if plan.matrix.noise else ()))
    known = [
        pilots[cell.cell_id].rates if cell.cell_id in pilots else ()
        for cell in plan.cells
        if cell.unavailable is None and isinstance(plan.by_id[cell.cell_id].workload, Benchmark)
    ]
    if not known:
        return ["No cell with a speed can run."]
    if any(len(rates) < LEAST_PILOT for rates in known):
        return ["To measure a pilot:", f"  {commands.fab('run-matrix', *flags)}"]
    needs = [repeats_for(rates, precision) for rates in known]
    if None in needs:
        return ["Not all cells can reach it: ask for less precision."]
    most = max((number or 0 for number in needs), default=0)
    ceiling = () if most <= USUAL_MOST else ("--most", str(most))
    until = f"{100 * precision:g}%"
    return [
        "To measure until it is reached:",
        f"  {commands.fab('run-matrix', *flags, '--until', until, *ceiling)}",
    ]
