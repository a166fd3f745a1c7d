"""The report's part on questions and answers: all its tables, and what may be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.answers import accuracy, answers, numbers
from analysis.answers.accuracy import Accuracy
from analysis.answers.answers import AnsweredQuestion
from analysis.answers.asked_figures import asked_figures
from analysis.answers.asked_pairs import question_pairs
from analysis.answers.detail import Detail, detail_of, detail_table
from analysis.answers.prices import price_table
from analysis.answers.ratings import Rated, Ratings, rated_answers
from analysis.answers.strengths import Traits, traits_of
from analysis.answers.systems import ASKED_TO_WHOLE, INTERNET, SystemAnswers, systems_of
from analysis.blocks import Figure
from analysis.cells.cells import CellResult
from analysis.cells.family import Family, Pair
from analysis.cells.series import Series
from analysis.cells.tabulate import Table
from analysis.statistics.floor import Floor
from analysis.statistics.stats import FEWEST, range_coverage
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import bare, count, interval, listing, nodes, percent, plural
from analysis.verdict.scaling_text import thrown_away
from analysis.verdict.verdict import Verdict
from collect.questions import Question
from collect.run import RunManifest
from collect.tables import Tables
from collect.workloads import Questions

UNTIMED = "On {scope}, {systems} answered; no time was measured."
ON_SOFTWARE = (
    "On {scope}, {systems} answered; no times are compared, as they are those of software GPUs."
)
WHOLE = "On {scope}, the whole answer came from {systems}."
WHOLE_AND_THROWN = "On {scope}, the whole answer came from {systems}; {thrown}, in no figure."
AFTER, AFTER_REMOTE = "{system} after {time} s", "{system} after {time} s ({path})"
MEDIAN, MEDIANS = "{systems} (median over questions)", "{systems} (medians over questions)"
FIRST_AND_LAST = "{first}, {second}, and last {last} (medians over questions)"
WITHOUT = "Without answers: {systems}."
FEW_QUESTIONS = (
    "The results hold for {scope}: so few allow no conclusion about others. Intervals over them "
    "show how much they differ, not what another question would give."
)
RANGES = (
    "Below {fewest} questions the range replaces the interval: it holds the median of such "
    "questions in {coverage}."
)
ASKED_AGAIN = (
    "Questions had to be sent again to {systems}. The waiting until then is included in the times; "
    "`total_ms` and `ttft_ms` in answers.csv are of the last try only."
)
REMOTE = (
    "Times of {systems} are {path}, to a service with other customers: they show how long a user "
    "waits, not the speed of an engine."
)
REPLAYED = (
    "Answers of {systems} were replayed from a record: their texts count, their times are left out."
)
MOST_NAMED = 4
"""Systems that the headline names, each with its time."""
MANY = 30
"""Questions from which a set may stand for more than itself."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that the report prints of answers.

    Attributes:
        scope: `these six questions`.
        frames: what each table is made of and all answers that count, by the stem of the CSV file.
        graded: by the keys; None where no question has one.
        rated: what people thought of them; None where no one was asked.
        family: all comparisons of the report.
    """

    systems: tuple[SystemAnswers, ...]
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
    asked: tuple[AnsweredQuestion, ...]
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]
    figures: tuple[Figure, ...]
    frames: Mapping[str, pd.DataFrame]
    graded: Accuracy | None
    rated: Rated | None
    family: Family

    @property
    def is_few(self) -> bool:
        """So few questions that they stand for no others."""
        return len(self.questions) < MANY

    def verdict(self, of_run: Verdict, *, has_speed: bool) -> Verdict:
        """Return the findings of the run, those from its answers first.

        Args:
            of_run: the run's findings on speed over nodes.
            has_speed: there are some: a system was asked on several numbers of nodes.
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
    others: Sequence[Pair] = (),
    floors: Mapping[str, Floor] | None = None,
) -> Comparison | None:
    """Compare the answers of a run; None if it asked none or has none.

    Args:
        run: the run's plan.
        tables: what was measured.
        all_series: of the run.
        ratings: what raters gave; None where no one was asked.
        speeds: what else the report compares: all is corrected together.
        others: what other parts of the page compare: that, too.
        floors: quantity to how far identical arms differ in it.
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
    family = Family((*speeds, *pairs), run.equivalence_margin, others, floors)
    details = {system.name: detail_of(questions, system) for system in systems}
    cells = [cell for series in all_series for cell in series.cells]
    traits = traits_of(systems, graded, details, tables, family, scores)
    scope = (
        say("these {questions} questions", questions=count(len(questions)))
        if len(questions) > 1
        else "this question"
    )
    return Comparison(
        systems=systems,
        questions=questions,
        scope=scope,
        waiting=answers.waiting_table(systems),
        waiting_pairs=answers.time_pairs(systems, family),
        accuracy=accuracy.share_table(graded) if graded else None,
        topics=accuracy.topic_table(graded) if graded else None,
        accuracy_pairs=accuracy.accuracy_pairs(graded, family) if graded else None,
        detail=detail_table(details),
        price=price_table(systems, tables.answers),
        traits=traits,
        asked=answers.asked(questions, systems),
        sentences=(
            _headline(systems, scope, cells),
            *(accuracy.sentences(graded, family) if graded else []),
            *_without(all_series),
        ),
        caveats=tuple(_caveats(systems, scope, len(questions))),
        figures=asked_figures(systems, graded, family, scope, cells),
        frames={
            **_frames(systems, graded, details, family, tables),
            "answers": answers.exported(questions, systems, counted),
            "strengths": _trait_frame(traits),
        },
        graded=graded,
        rated=rated,
        family=family,
    )


def _frames(
    systems: Sequence[SystemAnswers],
    graded: Accuracy | None,
    details: Mapping[str, Detail],
    family: Family,
    tables: Tables,
) -> dict[str, pd.DataFrame]:
    """What each table is made of, by the stem of its CSV file; nothing of empty ones."""
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
    return {stem: frame for stem, frame in found.items() if not frame.empty}


def _trait_frame(traits: Sequence[Traits]) -> pd.DataFrame:
    """A row a line."""
    rows = [
        (one.system, kind, line.text)
        for one in traits
        for kind, lines in (("strength", one.strengths), ("to improve", one.to_improve))
        for line in lines
    ]
    return pd.DataFrame(rows, columns=["system", "kind", "what"])


def _headline(systems: Sequence[SystemAnswers], scope: str, cells: Sequence[CellResult]) -> str:
    own = [system for system in systems if system.is_comparable]
    timed = [(s, found) for s in own if (found := s.estimate(ASKED_TO_WHOLE, scale=1e-3))]
    if not timed and len(own) < len(systems):
        return say(ON_SOFTWARE, scope=scope, systems=plural(len(systems), "system"))
    if not timed:
        return say(UNTIMED, scope=scope, systems=plural(len(systems), "system"))
    ranked = sorted(timed, key=lambda pair: pair[1].value)
    clauses: list[str] = [
        say(
            AFTER_REMOTE if system.is_remote else AFTER,
            system=system.name,
            time=interval(found, brief=True),
            path=INTERNET,
        )
        for system, found in ranked
    ]
    if len(clauses) > MOST_NAMED:
        told = say(FIRST_AND_LAST, first=clauses[0], second=clauses[1], last=clauses[-1])
    else:
        told = say(MEDIAN if len(clauses) == 1 else MEDIANS, systems=listing(clauses))
    if thrown := thrown_away(cells):
        return say(WHOLE_AND_THROWN, scope=scope, systems=told, thrown=thrown)
    return say(WHOLE, scope=scope, systems=told)


def _without(all_series: Sequence[Series]) -> list[str]:
    """Systems that were to answer and have no answer that counts."""
    missing = [
        say(
            "{label} on {nodes} ({value})",
            label=series.label,
            nodes=nodes(cell.nodes),
            value=bare(cell.reasons[0]) if cell.reasons else cell.state,
        )
        for series in all_series
        for cell in series.cells
        if not cell.is_measured
    ]
    return [say(WITHOUT, systems=listing(missing))] if missing else []


def _caveats(systems: Sequence[SystemAnswers], scope: str, questions: int) -> list[Sentence]:
    found = []
    if questions < MANY:
        ranges = (
            say(RANGES, fewest=count(FEWEST), coverage=percent(range_coverage(questions)))
            if 1 < questions < FEWEST
            else ""
        )
        found.append(together([say(FEW_QUESTIONS, scope=scope), ranges]))
    again = [system for system in systems if system.asked_again]
    if again:
        told = [
            say(
                "{name} for {asked_again} of {timed} answers",
                name=s.name,
                asked_again=s.asked_again,
                timed=len(s.timed),
            )
            for s in again
        ]
        found.append(say(ASKED_AGAIN, systems=listing(told)))
    remote = [system.name for system in systems if system.is_remote]
    if remote:
        found.append(say(REMOTE, systems=listing(remote), path=INTERNET))
    replayed = [system.name for system in systems if system.has_replayed]
    if replayed:
        found.append(say(REPLAYED, systems=listing(replayed)))
    return found
