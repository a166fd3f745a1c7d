"""How often the interval of `fab watch` for the time that is left holds the time that it took.

    python -m tests.benchmarks.time_left [RUNS]

Runs of known truth: cells whose mean times differ, trials that vary within a cell, some that take
twice as long because their first attempt failed. Exit status 1 if an interval of 90 % holds less
than 85 % of the times, once every cell has a trial.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass

from analysis.live.left import Pending, time_left

RUNS = 300
LOWEST = 0.85


@dataclass(frozen=True)
class Truth:
    """How a run goes.

    Attributes:
        between: standard deviation of the logarithms of the cells' means.
        within: of the trials of a cell.
        fails: share of trials whose first attempt fails halfway.
    """

    cells: int
    repeats: int
    between: float
    within: float
    fails: float = 0.0


TRUTHS = tuple(
    Truth(cells, repeats, between, within, fails)
    for cells, repeats in ((3, 6), (16, 6), (40, 3))
    for between, within, fails in (
        (0.2, 0.02, 0.0),
        (0.7, 0.05, 0.0),
        (1.2, 0.3, 0.0),
        (0.7, 0.1, 0.1),
    )
)
STAGES = {"half a block": 0.5, "one block": 1.0, "two blocks": 2.0}


def share_held(truth: Truth, blocks: float, runs: int, seed: int = 1) -> float:
    """How often the interval holds the truth after so many blocks."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return sum(_is_held(truth, blocks, chance) for _ in range(runs)) / runs


def _is_held(truth: Truth, blocks: float, chance: random.Random) -> bool:
    means = {f"c{n}": chance.gauss(2.0, truth.between) for n in range(truth.cells)}
    order = [
        cell for _ in range(truth.repeats) for cell in chance.sample(sorted(means), len(means))
    ]
    times = [(cell, _seconds(means[cell], truth, chance)) for cell in order]
    done = max(1, round(blocks * truth.cells))
    seen: dict[str, list[float]] = {}
    for cell, seconds in times[:done]:
        seen.setdefault(cell, []).append(seconds)
    left = {cell: order[done:].count(cell) for cell in means}
    found = time_left(Pending(seen, left))
    assert found is not None
    return found.low <= sum(seconds for _, seconds in times[done:]) <= found.high


def _seconds(mean: float, truth: Truth, chance: random.Random) -> float:
    seconds = chance.lognormvariate(mean, truth.within)
    return seconds * (1.5 if chance.random() < truth.fails else 1.0)


def main() -> int:
    """Print a table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    is_kept = True
    sys.stdout.write("cells repeats between within fails: " + ", ".join(STAGES) + "\n")
    for truth in TRUTHS:
        held = {name: share_held(truth, blocks, runs) for name, blocks in STAGES.items()}
        is_kept &= all(share >= LOWEST for name, share in held.items() if name != "half a block")
        told = ", ".join(f"{share:.0%}" for share in held.values())
        sys.stdout.write(
            f"{truth.cells:5} {truth.repeats:7} {truth.between:7} {truth.within:6} "
            f"{truth.fails:5}: {told}\n"
        )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
