"""How often the change that tuning made is in its interval, and is claimed where there is none.

Documents with a known truth pass through the same functions as a report. Their lengths differ
(lognormal, so that a tenth of them is 4 times as long as the median or more).

    python -m tests.benchmarks.tuning_findings [runs]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis.tuning.pairs import Effect, PairedChange, ScoredText, change_of_documents, effects

DOCUMENTS = (10, 20, 40)
SPREAD_OF_LENGTHS = 1.1
MEDIAN_BYTES = 500.0
NOISE = 0.05
"""Bits per byte by which the change of a document of median length differs from others."""
GAIN = 0.05
BY_LENGTH = 0.02
CLAIMS = frozenset({Effect.GAINED, Effect.FORGOTTEN})
Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Truth:
    """How documents change.

    Attributes:
        change: true change in bits per byte, over all documents there could be.
        draw: makes the changes of documents of these lengths.
    """

    name: str
    change: float
    draw: Draw


def _noise(generator: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
    """Short documents vary more."""
    return generator.normal(0.0, NOISE, len(sizes)) * np.sqrt(MEDIAN_BYTES / sizes)


def _skewed(generator: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
    """Most documents get a little better, and a few much worse."""
    drawn = generator.exponential(NOISE, len(sizes)) - NOISE
    return drawn * np.sqrt(MEDIAN_BYTES / sizes)


def _by_length(generator: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
    """Long documents gain more."""
    return -GAIN - BY_LENGTH * np.log(sizes / MEDIAN_BYTES) + _noise(generator, sizes)


TRUTHS = (
    Truth("nothing changed", 0.0, _noise),
    Truth("nothing changed, skewed", 0.0, _skewed),
    Truth("0.05 bits per byte fewer", -GAIN, lambda g, sizes: _noise(g, sizes) - GAIN),
    # The mean logarithm of lognormal lengths, weighted by the lengths, is their variance higher.
    Truth("long ones gain more", -GAIN - BY_LENGTH * SPREAD_OF_LENGTHS**2, _by_length),
)


def simulated(truth: Truth, count: int, runs: int, seed: int = 1) -> Iterator[PairedChange]:
    """Compare so many documents before and after, in so many runs."""
    generator = np.random.default_rng(seed)
    for _ in range(runs):
        sizes = np.ceil(MEDIAN_BYTES * generator.lognormal(0.0, SPREAD_OF_LENGTHS, count))
        rates = generator.normal(1.2, 0.2, count)
        changed = rates + truth.draw(generator, sizes)
        before, after = (
            {str(i): ScoredText(float(rate * size), int(size)) for i, (rate, size) in pairs}
            for pairs in (list(enumerate(zip(arm, sizes, strict=True))) for arm in (rates, changed))
        )
        found = change_of_documents(before, after)
        assert found is not None
        yield found


def covered_and_claimed(truth: Truth, count: int, runs: int) -> tuple[float, float]:
    """Share of runs whose interval holds the truth, and of those that claim a change."""
    held = claimed = 0
    for found in simulated(truth, count, runs):
        assert found.low is not None and found.high is not None  # noqa: PT018
        held += found.low <= truth.change <= found.high
        claimed += effects([found])[0] in CLAIMS
    return held / runs, claimed / runs


def main() -> int:
    """Print a row a truth and number of documents, as docs/statistics.md has them."""
    runs = int(sys.argv[1]) if sys.argv[1:] else 1000
    rows = [
        "| truth | documents | runs | interval holds it | a change is claimed |",
        "| --- | --- | --- | --- | --- |",
    ]
    for truth in TRUTHS:
        for count in DOCUMENTS:
            held, claimed = covered_and_claimed(truth, count, runs)
            rows.append(f"| {truth.name} | {count} | {runs} | {held:.1%} | {claimed:.1%} |")
    sys.stdout.write("\n".join(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
