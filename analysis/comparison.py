"""The report's part on questions and answers: all its tables, and what may be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import accuracy, answers, numbers
from analysis.accuracy import Accuracy
from analysis.answers import Asked
from analysis.asked_figures import asked_figures
from analysis.asked_pairs import question_pairs
from analysis.cells import CellResult, Series
from analysis.csv_file import write_csv
from analysis.detail import Detail, detail_of, detail_table
from analysis.family import Family, Pair
from analysis.prices import price_table
from analysis.ratings import Rated, Ratings, rated_answers
from analysis.scaling_text import thrown_away
from analysis.stats import FEWEST, range_coverage
from analysis.strengths import Traits, traits_of
from analysis.summary import Figure
from analysis.systems import ASKED_TO_WHOLE, INTERNET, System, systems_of
from analysis.tabulate import Table
from analysis.verdict import Verdict
from analysis.wording import bare, count, interval, listing, nodes, percent, plural
from collect.questions import Question
from collect.run import Questions, RunManifest
from collect.tables import Tables

MOST_NAMED = 4
"""Systems that the headline names, each with its time."""
MANY = 30
"""Questions from which a set may stand for more than itself."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that the report prints of answers.

    Attributes:
        scope: `these six questions`.
        answers: the answers that count, with the name of their system.
        frames: tables as numbers, by the stem of their CSV file.
        rated: what people thought of them; None where nobody was asked.
        family: all comparisons of the report.
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
    frames: Mapping[str, pd.DataFrame]
    rated: Rated | None
    family: Family

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
        for name, frame in self.frames.items():
            if not frame.empty:
                write_csv(frame, folder / f"{name}.csv")
        rows = [
            (traits.system, kind, line.text)
            for traits in self.traits
            for kind, lines in (("strength", traits.strengths), ("to improve", traits.to_improve))
            for line in lines
        ]
        traits_told = pd.DataFrame(rows, columns=["system", "kind", "what"])
        write_csv(traits_told, folder / "strengths.csv")

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
    speeds: Sequence[Pair] = (),
) -> Comparison | None:
    """Compare the answers of a run; None if it asked none or has none.

    Args:
        run: the run's plan.
        tables: what was measured.
        all_series: of the run.
        ratings: what raters gave; None where nobody was asked.
        speeds: what else the report compares: all is corrected together.
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
    scores = rated.scores if rated else None
    pairs = question_pairs(systems, graded, scores)
    family = Family((*speeds, *pairs), run.equivalence_margin)
    details = {system.name: detail_of(questions, system) for system in systems}
    cells = [cell for series in all_series for cell in series.cells]
    scope = f"these {count(len(questions))} questions" if len(questions) > 1 else "this question"
    return Comparison(
        systems=systems,
        questions=questions,
        scope=scope,
        waiting=answers.waiting_table(systems),
        waiting_pairs=answers.pair_table(systems, family),
        accuracy=accuracy.share_table(graded) if graded else None,
        topics=accuracy.topic_table(graded) if graded else None,
        accuracy_pairs=accuracy.pair_table(graded, family) if graded else None,
        detail=detail_table(details),
        price=price_table(systems, tables.answers),
        traits=traits_of(systems, graded, details, tables, family, scores),
        asked=answers.asked(questions, systems),
        sentences=(
            _headline(systems, scope, cells),
            *(accuracy.sentences(graded, family) if graded else []),
            *_without(all_series),
        ),
        caveats=tuple(_caveats(systems, scope, len(questions))),
        figures=asked_figures(systems, graded, family, scope, cells),
        answers=answers.exported(questions, systems, counted),
        frames=_frames(systems, graded, details, family, tables),
        rated=rated,
        family=family,
    )


def _frames(
    systems: Sequence[System],
    graded: Accuracy | None,
    details: Mapping[str, Detail],
    family: Family,
    tables: Tables,
) -> dict[str, pd.DataFrame]:
    """What each table is made of, by the stem of its CSV file."""
    found = {
        "waiting": numbers.waiting_frame(systems),
        "waiting-pairs": numbers.waiting_pair_frame(systems, family),
        "detail": numbers.detail_frame(details),
        "price": numbers.price_frame(systems, tables.answers),
    }
    if graded is not None:
        found |= {
            "accuracy": numbers.accuracy_frame(graded),
            "accuracy-topics": numbers.topic_frame(graded),
            "accuracy-pairs": numbers.accuracy_pair_frame(graded, family),
        }
    return found


def _headline(systems: Sequence[System], scope: str, cells: Sequence[CellResult]) -> str:
    timed = [(s, found) for s in systems if (found := s.estimate(ASKED_TO_WHOLE, scale=1e-3))]
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
        told = f"{clauses[0]} (median over questions)"
    elif len(clauses) > MOST_NAMED:
        clauses = [*clauses[:2], f"and last {clauses[-1]}"]
        told = f"{', '.join(clauses)} (medians over questions)"
    else:
        told = f"{listing(clauses)} (medians over questions)"
    thrown = thrown_away(cells)
    rest = f"; {thrown}, in no figure" if thrown else ""
    return f"On {scope}, the whole answer came from {told}{rest}."


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
            + (
                f" Below {count(FEWEST)} questions the range stands for the interval: it holds the "
                f"median of such questions in {percent(range_coverage(questions))}."
                if 1 < questions < FEWEST
                else ""
            )
        )
    again = [system for system in systems if system.asked_again]
    if again:
        told = [f"{s.name} for {s.asked_again} of {len(s.timed)} answers" for s in again]
        found.append(
            f"Questions had to be sent again to {listing(told)}: what was waited until then is in "
            "the times, and `total_ms` and `ttft_ms` of answers.csv are of the last try alone."
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
