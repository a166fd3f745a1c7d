"""How often a fitted law holds the truth, and how often a wrong law is noticed.

    python -m tests.benchmarks.law_coverage [runs]

docs/statistics.md has the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.model.draws import times_of
from analysis.model.laws import Fit, Law, fitted
from collect.run import EQUIVALENCE_MARGIN
from tests.benchmarks.false_findings import NOISES, Floats
from tests.benchmarks.table import print_head, print_row

AMDAHL, USL = (20.0, 80.0, 0.0), (10.0, 80.0, 4.0)
"""Parts of a token's time in ms."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Runs whose times are known.

    Attributes:
        parts: of a token's time, in ms.
        law: that is fitted.
        nodes: numbers of nodes.
        trials: of each.
        noise: its name.
        lost: share of trials that failed for good.
    """

    name: str
    parts: tuple[float, float, float]
    law: Law
    nodes: tuple[int, ...] = (1, 2, 4, 8)
    trials: int = 6
    noise: str = "normal, 3 %"
    lost: float = 0.0

    @property
    def ms(self) -> Floats:
        """The true time on each number of nodes."""
        return Law.USL.terms(np.asarray(self.nodes, dtype=np.float64)) @ np.asarray(self.parts)


TRUTHS = (
    Truth("Amdahl", AMDAHL, Law.AMDAHL),
    Truth("Amdahl", AMDAHL, Law.AMDAHL, nodes=(1, 2, 4)),
    Truth("Amdahl", AMDAHL, Law.AMDAHL, trials=10),
    Truth("Amdahl", AMDAHL, Law.AMDAHL, noise="drift"),
    Truth("Amdahl", AMDAHL, Law.AMDAHL, noise="lognormal, 0.5"),
    Truth("Amdahl", AMDAHL, Law.AMDAHL, trials=9, lost=0.2),
    Truth("nothing serial", (0.0, 100.0, 0.0), Law.AMDAHL),
    Truth("Amdahl", AMDAHL, Law.USL),
    Truth("universal", USL, Law.USL),
    Truth("universal", USL, Law.USL, nodes=(1, 2, 3, 4, 6, 8)),
    Truth("universal", USL, Law.USL, trials=10),
    Truth("universal", USL, Law.USL, noise="drift"),
    Truth("universal", USL, Law.USL, trials=9, lost=0.2),
    Truth("universal", USL, Law.AMDAHL),
    Truth("universal", USL, Law.AMDAHL, noise="drift"),
    Truth("universal", (10.0, 80.0, 1.0), Law.AMDAHL),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found of a truth.

    Attributes:
        holds: share of intervals that hold their part; of each part of the law.
        holds_serial: the same of the serial part of one node's time.
        holds_time: the same of the law's time on the numbers of nodes between.
        refused: share of runs in which the law was found not to describe the data.
    """

    holds: tuple[float, ...]
    holds_serial: float
    holds_time: float
    refused: float


def fits(truth: Truth, runs: int, seed: int = 1) -> Iterator[Fit]:
    """Fit the law to some runs of a truth."""
    rng = np.random.default_rng(seed)
    for run in range(runs):
        speeds = NOISES[truth.noise](rng, (len(truth.nodes), truth.trials))
        kept = rng.random(speeds.shape) >= truth.lost
        measured = {
            nodes: {block: own / speed for block, speed in enumerate(row) if is_kept[block]}
            for nodes, own, row, is_kept in zip(truth.nodes, truth.ms, speeds, kept, strict=True)
        }
        if min(map(len, measured.values())) >= 6:
            yield fitted(truth.law, times_of(measured), EQUIVALENCE_MARGIN, seed=run)


def seen(truth: Truth, runs: int, seed: int = 1) -> Seen:
    """Count over some runs of a truth how often intervals hold it and the law is refused."""
    found = list(fits(truth, runs, seed))
    between = np.linspace(truth.nodes[0], truth.nodes[-1], 15)
    parts = np.asarray(truth.parts)
    time = Law.USL.terms(between) @ parts
    bands = [fit.band(between) for fit in found]
    return Seen(
        holds=tuple(
            _share([fit.intervals[i].low <= parts[i] <= fit.intervals[i].high for fit in found])
            for i in range(truth.law.parts)
        ),
        holds_serial=_share(
            [fit.serial.low <= parts[0] / parts[:2].sum() <= fit.serial.high for fit in found]
        ),
        holds_time=_share([((low <= time) & (time <= high)).mean() for low, high in bands]),
        refused=_share([bool(fit.misses) for fit in found]),
    )


def _share(hits: Sequence[float]) -> float:
    return float(np.mean(hits))


def main(runs: int = 400) -> None:
    """Print the table."""
    print_head("truth", "fitted", "numbers of nodes", "trials", "noise", "a, b, c held",
               "serial share", "time", "refused")  # fmt: skip
    for truth in TRUTHS:
        found = seen(truth, runs)
        held = ", ".join(f"{100 * share:.0f} %" for share in found.holds)
        lost = ", a fifth lost" if truth.lost else ""
        law = "Amdahl" if truth.law is Law.AMDAHL else "universal"
        nodes = ", ".join(map(str, truth.nodes))
        print_row(
            f"{truth.name}: {', '.join(f'{part:g}' for part in truth.parts)} ms",
            law, nodes, f"{truth.trials}{lost}", truth.noise, held,
            f"{100 * found.holds_serial:.0f} %", f"{100 * found.holds_time:.0f} %",
            f"{100 * found.refused:.1f} %",
        )  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
