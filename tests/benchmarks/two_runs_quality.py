"""How often the answers of two runs of known truth are said to be better or worse.

    python -m tests.benchmarks.two_runs_quality [--runs 400]

Each cell answers the same questions, or scores the same documents, in both runs. The cells of a
comparison are corrected together, as `fab compare-runs` does. docs/compare-runs.md has the table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np

from analysis.tuning.pairs import (
    Effect,
    PairedChange,
    ScoredText,
    change_of_documents,
    change_of_questions,
    effects,
)

Make = Callable[[np.random.Generator, int, float], PairedChange | None]
CLAIMS = (Effect.GAINED, Effect.FORGOTTEN)
HEAD = (
    "| what | texts | cells | any claim, nothing is different | a gain is found | the wrong way |"
)


def questions(random: np.random.Generator, count: int, gain: float) -> PairedChange | None:
    """Make questions of all difficulties. `gain`: added to the chance of a right answer."""
    chance = random.beta(1.2, 1.2, count)
    before = random.random(count) < chance
    after = random.random(count) < np.clip(chance + gain, 0, 1)
    grades = ({str(n): bool(one) for n, one in enumerate(side)} for side in (before, after))
    return change_of_questions(*grades)


def documents(random: np.random.Generator, count: int, gain: float) -> PairedChange | None:
    """Make documents of 400 to 4000 bytes. `gain`: bits per byte that are saved, ±0.05 for each."""
    size = random.integers(400, 4000, count)
    before = size * random.normal(1.5, 0.3, count)
    after = before + size * random.normal(-gain, 0.05, count)
    scored = (
        {str(n): ScoredText(float(bits), int(size[n])) for n, bits in enumerate(side)}
        for side in (before, after)
    )
    return change_of_documents(*scored)


def row(name: str, make: Make, gain: float, texts: int, cells: int, runs: int) -> str:
    """Make a row: the share of comparisons with a claim, and of cells whose gain is found."""
    random = np.random.default_rng(5)

    def compared(by: float) -> tuple[Effect, ...]:
        made = (make(random, texts, by) for _ in range(cells))
        return tuple(effects([one for one in made if one is not None]))

    claims = sum(any(one in CLAIMS for one in compared(0.0)) for _ in range(runs))
    found = [one for _ in range(runs // 4) for one in compared(gain)]
    of = (runs // 4) * cells
    shares = (claims / runs, found.count(Effect.GAINED) / of, found.count(Effect.FORGOTTEN) / of)
    told = " | ".join(f"{100 * share:.1f} %" for share in shares)
    return f"| {name} | {texts} | {cells} | {told} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="comparisons of each kind")
    runs = parser.parse_args().runs
    sys.stdout.write(f"{HEAD}\n{'| --- ' * HEAD.count(' |')}|\n")
    kinds: tuple[tuple[str, Make, float], ...] = (
        ("right answers, 20 points more", questions, 0.2),
        ("0.05 bits per byte less", documents, 0.05),
    )
    for kind in kinds:
        for texts in (12, 30, 100):
            for cells in (1, 4):
                sys.stdout.write(f"{row(*kind, texts, cells, runs)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
