"""The report's part on questions and answers: all its tables, and what may be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import accuracy, answers
from analysis.accuracy import Accuracy
from analysis.answers import Asked
from analysis.cells import Series
from analysis.csv_file import write_csv
from analysis.detail import detail_of, detail_table
from analysis.prices import price_table
from analysis.ratings import Rated, Ratings, rated_answers
from analysis.strengths import Traits, traits_of
from analysis.summary import Figure
from analysis.systems import INTERNET, System, systems_of
from analysis.tabulate import Table, kept
from analysis.verdict import Verdict
from analysis.wording import bare, count, interval, listing, nodes, number, plural
from collect.questions import Question
from collect.run import Questions, RunManifest
from collect.tables import Tables

MOST_NAMED = 4
"""Systems that the headline names, each with its time."""
MANY = 30
"""Questions from which a set may stand for more than itself."""
BEST = (
    ("First token soonest", "ttft_ms", 1e-3, "s", min),
    ("Answer soonest", "total_ms", 1e-3, "s", min),
    ("Writes fastest", "tokens_per_s", 1.0, "tokens/s", max),
)
"""Figures on top: title, column, factor to the unit, unit, which is best."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that the report prints of answers.

    Attributes:
        scope: `these six questions`.
        answers: the answers that count, with the name of their system.
        rated: what people thought of them; None where nobody was asked.
    """

    systems: tuple[System, ...]
    questions: tuple[Question, ...]
    scope: str
    waiting: Table
    waiting_pairs: Table | None
    accuracy: Table | None
    topics: Table | None
    accuracy_pairs: Table | None
    detail: Table
    price: Table | None
    traits: tuple[Traits, ...]
    asked: tuple[Asked, ...]
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]
    figures: tuple[Figure, ...]
    answers: pd.DataFrame
    rated: Rated | None

    @property
    def is_few(self) -> bool:
        """So few questions that they stand for no others."""
        return len(self.questions) < MANY

    @property
    def has_remote(self) -> bool:
        """Some system was asked over the Internet."""
        return any(system.is_remote for system in self.systems)

    def write(self, folder: Path) -> None:
        """Write every table as CSV into a folder."""
        write_csv(self.answers, folder / "answers.csv")
        if self.rated is not None:
            write_csv(self.rated.scores, folder / "ratings.csv")
        for name, made in self._tables().items():
            if made is not None:
                kept(made, folder / f"{name}.csv")
        rows = [
            (traits.system, kind, line.text)
            for traits in self.traits
            for kind, lines in (("strength", traits.strengths), ("to improve", traits.to_improve))
            for line in lines
        ]
        frame = pd.DataFrame(rows, columns=["system", "kind", "what"])
        write_csv(frame, folder / "strengths.csv")

    def _tables(self) -> Mapping[str, Table | None]:
        return {
            "waiting": self.waiting,
            "waiting-pairs": self.waiting_pairs,
            "accuracy": self.accuracy,
            "accuracy-topics": self.topics,
            "accuracy-pairs": self.accuracy_pairs,
            "detail": self.detail,
            "price": self.price,
        }

    def verdict(self, of_run: Verdict, *, has_speed: bool) -> Verdict:
        """The findings of the run, with what its answers tell first.

        Args:
            of_run: what the run tells of speed over nodes.
            has_speed: whether it does: some system was asked on several numbers of nodes.
        """
        first, *rest = self.sentences
        speed = (of_run.headline, *of_run.details) if has_speed else ()
        return Verdict(
            headline=first,
            details=(*rest, *speed),
            caveats=(*self.caveats, *of_run.caveats),
            reservations=of_run.reservations,
        )


def comparison_of(
    run: RunManifest,
    tables: Tables,
    all_series: Sequence[Series],
    ratings: Ratings | None = None,
) -> Comparison | None:
    """Compare the answers of a run; None if it asked none or has none.

    Args:
        run: the run's plan.
        tables: what was measured.
        all_series: of the run.
        ratings: what raters gave; None where nobody was asked.
    """
    if not isinstance(run.workload, Questions) or tables.answers.empty:
        return None
    questions = run.workload.asked
    counted = answers.counting(tables.answers, tables.trials)
    systems = systems_of(all_series, counted, run.systems)
    if not systems:
        return None
    rated = rated_answers(systems, ratings) if ratings else None
    graded = accuracy.accuracy_of(questions, systems)
    details = {system.name: detail_of(questions, system) for system in systems}
    scope = f"these {count(len(questions))} questions" if len(questions) > 1 else "this question"
    return Comparison(
        systems=systems,
        questions=questions,
        scope=scope,
        waiting=answers.waiting_table(systems),
        waiting_pairs=answers.pair_table(systems),
        accuracy=accuracy.share_table(graded) if graded else None,
        topics=accuracy.topic_table(graded) if graded else None,
        accuracy_pairs=accuracy.pair_table(graded) if graded else None,
        detail=detail_table(details),
        price=price_table(systems, tables.answers),
        traits=traits_of(systems, graded, details, tables, rated.scores if rated else None),
        asked=answers.asked(questions, systems),
        sentences=(
            _headline(systems, scope),
            *(accuracy.sentences(graded) if graded else []),
            *_without(all_series),
        ),
        caveats=tuple(_caveats(systems, scope, len(questions))),
        figures=_figures(systems, graded),
        answers=answers.exported(questions, systems, counted),
        rated=rated,
    )


def _headline(systems: Sequence[System], scope: str) -> str:
    timed = [(s, found) for s in systems if (found := s.estimate("total_ms", scale=1e-3))]
    if not timed:
        told = f"{plural(len(systems), 'system')} answered"
        return f"On {scope}, {told}; no time was measured."
    ranked = sorted(timed, key=lambda pair: pair[1].value)
    clauses = [
        f"{system.name} after {interval(found, brief=True)} s"
        + (f" ({INTERNET})" if system.is_remote else "")
        for system, found in ranked
    ]
    if len(clauses) == 1:
        return f"On {scope}, the whole answer came from {clauses[0]} (median over questions)."
    if len(clauses) > MOST_NAMED:
        clauses = [*clauses[:2], f"and last {clauses[-1]}"]
        told = ", ".join(clauses)
    else:
        told = listing(clauses)
    return f"On {scope}, the whole answer came from {told} (medians over questions)."


def _without(all_series: Sequence[Series]) -> list[str]:
    """Systems that were to answer and have no answer that counts."""
    missing = [
        f"{series.label} on {nodes(cell.nodes)} "
        f"({bare(cell.reasons[0]) if cell.reasons else cell.state})"
        for series in all_series
        for cell in series.cells
        if not cell.is_measured
    ]
    return [f"Without answers: {listing(missing)}."] if missing else []


def _caveats(systems: Sequence[System], scope: str, questions: int) -> list[str]:
    found = []
    if questions < MANY:
        found.append(
            f"What is said holds on {scope}: so few tell of no others, and intervals over them "
            "show how much they differ, not what another question would bring."
        )
    remote = [system.name for system in systems if system.is_remote]
    if remote:
        found.append(
            f"Times of {listing(remote)} are {INTERNET}, to a service with other customers: what a "
            "user waits, and never the speed of an engine."
        )
    replayed = [system.name for system in systems if system.has_replayed]
    if replayed:
        found.append(
            f"Answers of {listing(replayed)} were replayed from a record: their texts count, their "
            "times do not and are left out."
        )
    return found


def _figures(systems: Sequence[System], graded: Accuracy | None) -> tuple[Figure, ...]:
    """The best of each quantity; nothing where there is one system."""
    if len(systems) == 1:
        return ()
    found = []
    for title, column, scale, unit, pick in BEST:
        measured = [(s.estimate(column, scale), s) for s in systems]
        values = [(float(e.value), s) for e, s in measured if e is not None]
        if len(values) > 1:
            value, system = pick(values, key=lambda pair: pair[0])
            remote = f", {INTERNET}" if system.is_remote else ""
            found.append(Figure(title, number(value), unit, f"{system.name}{remote}"))
    if graded is not None and graded.may_name:
        shares = {name: graded.share(name) for name in graded.grades}
        most = max(share.hits for share in shares.values())
        names = [name for name, share in shares.items() if share.hits == most]
        unit = f"of {len(graded.questions)}"
        found.append(Figure("Most right by the key", str(most), unit, listing(names)))
    return tuple(found)
