"""How often two runs of known truth are said to differ, and how often a difference is found.

    python -m tests.benchmarks.two_runs_findings [--runs 1000]

Two runs are made, with a level of each run, of each cell in a run, and noise of each trial. They go
through what `fab compare-runs` does with speeds. docs/compare-runs.md has the tables.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analysis.cells.family import Claim
from analysis.statistics.two_runs import Between, assumed, between_runs, mean_of
from analysis.two_runs.speeds import Cells, SpeedChange, SpeedPair, speed_changes
from collect.run import EQUIVALENCE_MARGIN
from tests.benchmarks.aa import own_drift, resampled, throttled
from tests.benchmarks.false_findings import drift, normal, outliers, two_modes

Floats = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]
NOISES: Mapping[str, Noise] = {
    "normal, 1 %": normal(0.01),
    "normal, 3 %": normal(0.03),
    "normal, 10 %": normal(0.1),
    "two modes": two_modes,
    "outliers": outliers,
    "drift from block to block": drift,
    "own drift of each cell": own_drift,
    "real trials": resampled(1),
}
FOUND = (Claim.FASTER, Claim.SLOWER)
LIMIT = 0.05
FEW = 6


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated.

    Attributes:
        noise: of trials.
        cells: how many cells both runs have.
        trials: of each.
        level: standard deviation of the level of a run.
        own: of the level of each cell in a run.
        gain: how many times as fast the contender is, in all cells.
        earlier: further runs of the baseline that are there.
        bound: what is assumed.
        throttled: a node throttles during the contender.
        unchanged: how many of the cells nothing was changed of.
    """

    noise: str = "normal, 3 %"
    cells: int = 4
    trials: int = 6
    level: float = 0.0
    own: float = 0.0
    gain: float = 1.0
    earlier: int = 0
    bound: float = 0.03
    throttled: bool = False
    unchanged: int = 0


def simulated(setting: Setting, rng: np.random.Generator) -> tuple[SpeedChange, ...]:
    """Make two runs, with those before, and compare them."""
    baseline, contender, *earlier = (
        _run(setting, rng, is_contender=place == 1) for place in range(2 + setting.earlier)
    )
    between = _between([baseline, *earlier], setting) if earlier else assumed(setting.bound)
    asked = [
        SpeedPair("tokens/s", cell, cell, baseline[cell], contender[cell],
              int(cell) >= setting.unchanged)
        for cell in baseline
    ]  # fmt: skip
    return speed_changes(asked, {"tokens/s": between}, EQUIVALENCE_MARGIN, limit=LIMIT)


def _between(runs: list[Cells], setting: Setting) -> Between:
    means = [{cell: mean_of(logs) for cell, logs in run.items()} for run in runs]
    return between_runs([means], setting.bound)


def _run(setting: Setting, rng: np.random.Generator, *, is_contender: bool) -> Cells:
    shape = (setting.cells, setting.trials)
    speeds = NOISES[setting.noise](rng, shape)
    if setting.throttled and is_contender:
        speeds = throttled(rng, shape)
    logs = np.log(speeds) + setting.level * rng.normal()
    logs += setting.own * rng.normal(size=(setting.cells, 1))
    if is_contender:
        logs[setting.unchanged :] += np.log(setting.gain)
    return {
        str(cell): {block + 1: float(log) for block, log in enumerate(row)}
        for cell, row in enumerate(logs)
    }


@dataclass(slots=True)
class Counts:
    """Of so many comparisons of two runs, those that say something.

    Attributes:
        any: a verdict of a changed cell is faster or slower.
        wrong: one of them is the wrong way round.
        share: of changed cells with the right verdict, summed.
        same: of cells that are called the same, summed.
        failed: the limit of 5 % is said to be exceeded.
    """

    runs: int
    any: int = 0
    wrong: int = 0
    share: float = 0.0
    same: float = 0.0
    failed: int = 0


def simulate(setting: Setting, runs: int, seed: int = 1) -> Counts:
    """Compare so many pairs of runs."""
    rng = np.random.default_rng(seed)
    counts = Counts(runs)
    right = Claim.FASTER if setting.gain > 1 else Claim.SLOWER
    for _ in range(runs):
        changed = [one for one in simulated(setting, rng) if one.asked.is_changed]
        found = [one.compared.finding for one in changed]
        counts.any += any(one in FOUND for one in found)
        counts.wrong += setting.gain != 1 and any(one is right.turned for one in found)
        counts.share += found.count(right) / len(found)
        counts.same += found.count(Claim.SAME) / len(found)
        counts.failed += any(one.is_beyond for one in changed)
    return counts


HOLDS = (
    *(Setting(noise, cells, trials) for noise in ("normal, 1 %", "normal, 3 %", "normal, 10 %",
      "two modes", "outliers") for cells, trials in ((1, 6), (4, 6), (4, 10), (12, 6))),
    *(Setting(level=level, cells=cells) for level in (0.005, 0.01) for cells in (1, 4, 12)),
    Setting(level=0.007, own=0.007), Setting(level=0.007, own=0.007, cells=12),
)  # fmt: skip
BREAKS = (
    *(Setting(level=level, cells=cells) for level in (0.015, 0.02, 0.03, 0.05) for cells in (1, 4)),
    Setting(level=0.014, own=0.014),
    *(Setting(level=level, bound=0.1) for level in (0.03, 0.05)),
    *(Setting(throttled=True, cells=cells, trials=n) for cells in (1, 4) for n in (6, 10)),
    *(Setting(noise, trials=trials) for noise in ("drift from block to block",
      "own drift of each cell", "real trials") for trials in (6, 10)),
)  # fmt: skip
MEASURED = tuple(
    Setting(level=level, own=own, earlier=earlier, cells=cells)
    for level, own in ((0.0, 0.0), (0.01, 0.0), (0.03, 0.0), (0.02, 0.02), (0.0, 0.03))
    for earlier, cells in ((3, 4), (5, 4), (9, 4), (5, 1))
)
REAL = tuple(Setting("real trials", earlier=earlier) for earlier in (3, 5, 9))
CONTROLS = tuple(
    Setting(level=level, cells=6, unchanged=unchanged)
    for level in (0.02, 0.05)
    for unchanged in (1, 3)
)
POWER = tuple(
    Setting(noise, trials=trials, gain=gain, level=0.005)
    for noise in ("normal, 1 %", "normal, 3 %")
    for trials in (6, 10)
    for gain in (0.99, 0.97, 0.95, 0.9, 0.8)
)
POWER_MEASURED = tuple(
    replace(setting, earlier=9, level=0.005) for setting in POWER if setting.trials == FEW
)
POWER_CONTROLS = tuple(
    Setting(level=0.005, cells=6, unchanged=unchanged, gain=gain)
    for unchanged in (0, 1, 3)
    for gain in (0.95, 0.9, 0.8)
)
NULL_HEAD = ("trials", "cells", "trials of each", "level of a run", "of a cell", "assumed",
             "earlier runs", "unchanged cells", "any claim", "beyond 5 %")  # fmt: skip
GAIN_HEAD = ("trials", "trials of each", "earlier runs", "unchanged cells", "contender",
             "found, of cells", "wrong way round", "no difference", "beyond 5 %")  # fmt: skip


def main() -> None:
    """Write the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="comparisons of each kind")
    runs = parser.parse_args().runs
    for settings in (HOLDS, BREAKS, (*MEASURED, *REAL), CONTROLS):
        _table(NULL_HEAD, (_null_row(setting, simulate(setting, runs)) for setting in settings))
    for settings in (POWER, POWER_MEASURED, POWER_CONTROLS):
        _table(GAIN_HEAD, (_gain_row(setting, simulate(setting, runs)) for setting in settings))


def _null_row(setting: Setting, found: Counts) -> tuple[object, ...]:
    noise = f"{setting.noise}, throttled half-way" if setting.throttled else setting.noise
    return (
        noise, setting.cells, setting.trials, f"{100 * setting.level:g} %",
        f"{100 * setting.own:g} %", f"{100 * setting.bound:g} %", setting.earlier or "",
        setting.unchanged or "", _share(found.any, found.runs), _share(found.failed, found.runs),
    )  # fmt: skip


def _gain_row(setting: Setting, found: Counts) -> tuple[object, ...]:
    return (
        setting.noise, setting.trials, setting.earlier or "", setting.unchanged or "",
        f"{100 * (setting.gain - 1):+.0f} %", _share(found.share, found.runs),
        _share(found.wrong, found.runs), _share(found.same, found.runs),
        _share(found.failed, found.runs),
    )  # fmt: skip


def _share(count: float, runs: int) -> str:
    return f"{100 * count / runs:.1f} %"


def _table(head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
    for cells in (head, ["---"] * len(head), *rows):
        sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
        sys.stdout.flush()
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
