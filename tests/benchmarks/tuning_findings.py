"""How often the change that tuning made is in its interval, and is claimed where there is none.

Documents, questions and speeds with a known truth pass through the same functions as a report.

    python -m tests.benchmarks.tuning_findings [runs]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from analysis.cells.cells import CellResult, cell_results
from analysis.cells.family import Claim, Family
from analysis.tuning.arms import control_pairs
from analysis.tuning.changes import PartFigures, before_after_of
from analysis.tuning.pairs import (
    Effect,
    PairedChange,
    ScoredText,
    change_of_documents,
    change_of_questions,
    effects,
)
from analysis.tuning.sentences import sentence_of, verdict_sentences
from collect.run import RunManifest
from core import bootstrap
from core.bootstrap import paired_shares
from tests.benchmarks.false_findings import Floats, normal
from tests.benchmarks.table import print_head, print_row
from tests.doubles.tuned_run import BASE, TUNED, make_benchmark

DOCUMENTS = (6, 8, 10, 20, 40)
UNEVEN, EVEN = 1.1, 0.2
"""Spread of lengths (lognormal): a tenth is 4 times, or 1.3 times as long as the median or more."""
MEDIAN_BYTES = 500.0
NOISE = 0.05
"""Bits per byte by which the change of a document of median length differs from others."""
GAIN = 0.05
BY_LENGTH = 0.02
QUESTIONS = (30, 60, 100, 200)
CLAIMS = frozenset({Effect.GAINED, Effect.FORGOTTEN})
LINES_EACH = 10
SPEEDS = ((0.005, 6), (0.01, 6), (0.02, 6), (0.03, 6), (0.03, 20))
"""Noise of a trial's speed, and trials of each cell."""
DRAWS = 2000
"""Of each bootstrap: a fifth of a report's, which is enough for its ends here."""
RATIOS = (1.0, 1.02, 1.1)
ANSWERS = ((0.0, 0.0), (0.02, 0.02), (0.1, 0.1), (0.25, 0.25), (0.02, 0.05), (0.1, 0.3))
"""Shares of questions that tuning makes wrong, and right."""
ENGINES = ("llama.cpp", "distributed-llama")
Draw = Callable[[np.random.Generator, Floats], Floats]


@dataclass(frozen=True)
class Truth:
    """How documents change.

    Attributes:
        change: true change in bits per byte, over all documents there could be.
        draw: makes the changes of documents of these lengths.
        spread: of the lengths.
    """

    name: str
    change: float
    draw: Draw
    spread: float = UNEVEN


def _noise(generator: np.random.Generator, sizes: Floats) -> Floats:
    """Short documents vary more."""
    return generator.normal(0.0, NOISE, len(sizes)) * np.sqrt(MEDIAN_BYTES / sizes)


def _skewed(generator: np.random.Generator, sizes: Floats) -> Floats:
    """Most documents get a little better, and a few much worse."""
    drawn = generator.exponential(NOISE, len(sizes)) - NOISE
    return drawn * np.sqrt(MEDIAN_BYTES / sizes)


def _by_length(generator: np.random.Generator, sizes: Floats) -> Floats:
    """Long documents gain more."""
    return -GAIN - BY_LENGTH * np.log(sizes / MEDIAN_BYTES) + _noise(generator, sizes)


def _gain(generator: np.random.Generator, sizes: Floats) -> Floats:
    return _noise(generator, sizes) - GAIN


TRUTHS = (
    Truth("nothing changed", 0.0, _noise),
    Truth("nothing changed, skewed", 0.0, _skewed),
    Truth("nothing changed, lengths alike", 0.0, _noise, EVEN),
    Truth("nothing changed, skewed, lengths alike", 0.0, _skewed, EVEN),
    Truth("0.05 bits per byte fewer", -GAIN, _gain),
    Truth("0.05 fewer, lengths alike", -GAIN, _gain, EVEN),
    # The mean logarithm of lognormal lengths, weighted by the lengths, is their variance higher.
    Truth("long ones gain more", -GAIN - BY_LENGTH * UNEVEN**2, _by_length),
)
Scores = dict[str, ScoredText]


def _documents(truth: Truth, count: int, generator: np.random.Generator) -> tuple[Scores, Scores]:
    """Documents as the base and the tuned model predict them."""
    sizes = np.ceil(MEDIAN_BYTES * generator.lognormal(0.0, truth.spread, count))
    rates = generator.normal(1.2, 0.2, count)
    before, after = (
        {str(n): ScoredText(float(rate * size), int(size)) for n, (rate, size) in pairs}
        for pairs in (
            list(enumerate(zip(arm, sizes, strict=True)))
            for arm in (rates, rates + truth.draw(generator, sizes))
        )
    )
    return before, after


def simulated(truth: Truth, count: int, runs: int, seed: int = 1) -> Iterator[PairedChange]:
    """Compare so many documents before and after, in so many runs."""
    generator = np.random.default_rng(seed)
    for _ in range(runs):
        found = change_of_documents(*_documents(truth, count, generator))
        assert found is not None
        yield found


def asked(
    count: int, gained: float, lost: float, runs: int, seed: int = 1
) -> Iterator[PairedChange]:
    """Ask so many questions before and after, in so many runs.

    Args:
        count: questions with a key.
        gained: share that is wrong before and right after.
        lost: share that is right before and wrong after.
        runs: how many.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    for _ in range(runs):
        found = change_of_questions(*_answers(count, gained, lost, generator))
        assert found is not None
        yield found


def _answers(
    count: int, gained: float, lost: float, generator: np.random.Generator
) -> tuple[dict[str, bool], dict[str, bool]]:
    drawn, known = generator.random(count), generator.random(count) < 0.5
    gains, loses = drawn < gained, (drawn >= gained) & (drawn < gained + lost)
    before = {str(n): bool(loses[n] or (known[n] and not gains[n])) for n in range(count)}
    after = {str(n): bool(gains[n] or (known[n] and not loses[n])) for n in range(count)}
    return before, after


def covered_and_claimed(found: Iterator[PairedChange], change: float) -> tuple[float, float]:
    """Share of runs whose interval holds the true change, and of those that claim a change."""
    held = claimed = runs = 0
    for one in found:
        assert one.low is not None and one.high is not None  # noqa: PT018
        held += one.low <= change <= one.high
        claimed += effects([one])[0] in CLAIMS
        runs += 1
    return held / runs, claimed / runs


def lines_covered(documents: int, runs: int, *, together: bool, seed: int = 1) -> float:
    """Share of runs whose interval holds the true share of lines that tuning made memorised.

    Each document has ten lines and a chance of its own that one is memorised, 0.1 in the mean.
    """
    generator = np.random.default_rng(seed)
    held = 0
    owners = [str(n // LINES_EACH) for n in range(documents * LINES_EACH)]
    for _ in range(runs):
        chances = np.repeat(generator.beta(0.3, 2.7, documents), LINES_EACH)
        after = (generator.random(len(owners)) < chances).astype(float)
        ends = paired_shares([0.0] * len(owners), after.tolist(), owners if together else None)
        assert ends is not None
        held += ends[0] <= 0.1 <= ends[1]
    return held / runs


def controls(noise: float, trials: int, ratio: float, runs: int, seed: int = 1) -> dict[Claim, int]:
    """How often the control says what, where the tuned model has that many times the speed."""
    generator = np.random.default_rng(seed)
    found = dict.fromkeys(Claim, 0)
    for _ in range(runs):
        measured = _measured(ENGINES[:1], trials, noise, generator, ratio)
        found[Family(control_pairs(*measured)).rows[0].finding] += 1
    return found


def said_wrongly(runs: int, truth: Truth, seed: int = 1) -> tuple[float, float]:
    """Whole reports of tuning that changed nothing: what the head of the page claims.

    Two engines score 24 documents of two parts, answer 60 questions, and run six times.

    Returns:
        Shares of reports that call something gained or lost, and the speed changed.
    """
    generator = np.random.default_rng(seed)
    changed = faster = 0
    for _ in range(runs):
        run, parts = _report_of_nothing(truth, generator)
        margin = run.equivalence_margin
        rows = before_after_of(run, parts).rows
        told = " ".join([*(sentence_of(row, margin) for row in rows),
                         *verdict_sentences(rows, margin)])  # fmt: skip
        changed += any(f"{word} on" in told for word in ("Gained", "Forgotten", "Lost"))
        faster += "but it did" in told
    return changed / runs, faster / runs


def _report_of_nothing(
    truth: Truth, generator: np.random.Generator
) -> tuple[RunManifest, list[PartFigures]]:
    run, cells = _measured(ENGINES, 6, 0.01, generator)
    arms = [(cells[2 * n].record.cell_id, cells[2 * n + 1].record.cell_id) for n in (0, 1)]
    empty = PartFigures("", cells, {}, {}, {}, {}, Family(control_pairs(run, cells)), False)  # noqa: FBT003
    parts = [replace(empty, title="speed", is_control=True)]
    for title in ("text", "other text"):
        # All engines compute the same probabilities. Their greedy answers may part.
        scored = _documents(truth, 24, generator)
        documents = {cell: own for pair in arms for cell, own in zip(pair, scored, strict=True)}
        parts.append(replace(empty, title=title, documents=documents))
    grades = {
        cell: own
        for pair in arms
        for cell, own in zip(pair, _answers(60, 0.1, 0.1, generator), strict=True)
    }
    return run, [*parts, replace(empty, title="questions", grades=grades)]


@cache
def _planned(engines: tuple[str, ...], trials: int) -> tuple[RunManifest, tuple[CellResult, ...]]:
    speeds = {(engine, model, 1): [1.0] * trials for engine in engines for model in (BASE, TUNED)}
    run, tables = make_benchmark(speeds)
    return run, tuple(cell_results(run, tables.trials, tables.attempts))


def _measured(
    engines: tuple[str, ...],
    trials: int,
    noise: float,
    generator: np.random.Generator,
    ratio: float = 1.0,
) -> tuple[RunManifest, tuple[CellResult, ...]]:
    """A run of these engines, the base and the tuned model in turn."""
    run, cells = _planned(engines, trials)
    drawn = normal(noise)(generator, (len(cells), trials))
    drawn[1::2] *= ratio
    return run, tuple(
        replace(cell, done=cell.done.assign(decode_tokens_per_s=own))
        for cell, own in zip(cells, drawn, strict=True)
    )


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Print the tables that docs/statistics.md has."""
    runs = int(arguments[0]) if arguments else 400
    bootstrap.RESAMPLES = DRAWS
    print_head("truth", "documents", "interval holds it", "a change is claimed")
    for truth in TRUTHS:
        for count in DOCUMENTS:
            shares = covered_and_claimed(simulated(truth, count, runs), truth.change)
            print_row(truth.name, count, *map(_percent, shares))
    print_head("right before only, right after only", "questions", "interval holds it", "claimed")
    for lost, gained in ANSWERS:
        for count in QUESTIONS:
            shares = covered_and_claimed(asked(count, gained, lost, runs), gained - lost)
            print_row(f"{lost:.0%}, {gained:.0%}", count, *map(_percent, shares))
    print_head("documents of ten lines", "interval holds it", "if lines were drawn")
    for count in (6, 10, 20, 40):
        held = (lines_covered(count, runs, together=kind) for kind in (True, False))
        print_row(count, *map(_percent, held))
    print_head("noise", "trials", "true ratio", "it did not", "it did", "cannot be determined")
    for noise, trials in SPEEDS:
        for ratio in RATIOS:
            found = controls(noise, trials, ratio, runs)
            did = found[Claim.FASTER] + found[Claim.SLOWER]
            told = (found[Claim.SAME] / runs, did / runs, found[Claim.UNKNOWN] / runs)
            print_row(f"{100 * noise:.1f} %", trials, ratio, *map(_percent, told))
    print_head("reports of tuning that changed nothing", "gained or lost", "the speed changed")
    for truth in TRUTHS[:4]:
        print_row(truth.name, *map(_percent, said_wrongly(runs, truth)))
    return 0


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
