"""A run with several workloads as its report sees it: each part a study, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.agreement.report import Agreed
from analysis.answers.ratings import Ratings
from analysis.cells.family import Family
from analysis.cells.series import Series
from analysis.charts.selection import selection_of
from analysis.stability.course import course_of
from analysis.stability.machines import node_frame
from analysis.stability.stability import stability_of
from analysis.study import Steadiness, Study, meaning_of, measured_of
from analysis.text.sentence import say
from analysis.text.wording import listing, plural
from analysis.tuning.changes import before_after_of
from analysis.tuning.figures import figures_of
from analysis.tuning.verdict_text import with_tuning
from analysis.verdict.verdict import Verdict
from collect.account import STATES
from collect.arms import first_arms
from collect.judging import Judged
from collect.run import RunManifest
from collect.tables import Tables, by_part
from collect.workloads import Greedy

MEASURED = "{parts} were measured: {titles} ({done} of {planned} are done)."
ONE_MEASURED = "One part was measured: {titles} ({done} of {planned} are done)."
FOUND = "{title}: {found}"


def study_of_parts(
    run: RunManifest,
    tables: Tables,
    *,
    warnings: Sequence[str] = (),
    agreement: Agreed | None = None,
    ratings: Ratings | None = None,
    judges: Sequence[Judged] = (),
) -> Study:
    """Find out what the tables of a run with parts mean.

    All comparisons on the page are one family. So those of each part are made first, and then it
    is found out what the part means with those of all others.

    Args:
        run: the run's plan.
        tables: what was measured.
        warnings: what is wrong with the run's folder, a sentence each.
        agreement: of its greedy part with the reference.
        ratings: what raters thought of its answers; None if there are none.
        judges: what systems thought of them.
    """
    parts = by_part(run, tables)

    measured = {name: measured_of(*part) for name, part in parts.items()}
    pairs = {
        name: [row.pair for row in one.compared(_ratings_of(one.run, ratings))[1].rows]
        for name, one in measured.items()
    }
    together = {}
    for name, one in measured.items():
        others = [pair for other, own in pairs.items() if other != name for pair in own]
        together[name] = meaning_of(
            one,
            agreement=agreement if isinstance(one.run.workload, Greedy) else None,
            ratings=_ratings_of(one.run, ratings),
            judges=_judges_of(one.run, judges),
            others=others if pairs[name] else (),
        )
    return _whole(run, tables, together, tuple(warnings))


def _ratings_of(part: RunManifest, ratings: Ratings | None) -> Ratings | None:
    """Return what was said of the answers to this part's questions; None if nothing was."""
    ids = {question.id for question in part.asked}
    own = {
        rater: [one for one in judged if one.question in ids]
        for rater, judged in (ratings or {}).items()
    }
    return {rater: judged for rater, judged in own.items() if judged} or None


def _judges_of(part: RunManifest, judges: Sequence[Judged]) -> list[Judged]:
    ids = {question.id for question in part.asked}
    return [
        replace(one, comparisons=tuple(c for c in one.comparisons if c.question in ids))
        for one in judges
    ]


def _whole(
    run: RunManifest, tables: Tables, parts: dict[str, Study], warnings: tuple[str, ...]
) -> Study:
    readings = tables.nodes
    run, tables = first_arms(run, tables)
    all_series: tuple[Series, ...] = tuple(s for study in parts.values() for s in study.all_series)
    pairs = [row.pair for study in parts.values() for row in study.family.rows]
    counts = {str(state): sum(s.counts[str(state)] for s in parts.values()) for state in STATES}
    family = Family((), run.equivalence_margin, pairs)
    figures = [replace(one.figures, title=one.run.title) for one in parts.values()]
    tuning = before_after_of(run, figures) if run.tuned else None
    verdict = _verdict(parts, warnings)
    return Study(
        run=run,
        tables=tables,
        all_series=all_series,
        shown=selection_of(()),
        scalings=(),
        setups=(),
        family=family,
        counts=counts,
        verdict=verdict if tuning is None else with_tuning(verdict, run, tuning),
        steadiness=Steadiness(
            trials=stability_of(()),
            course=course_of(all_series, tables.trials, tables.attempts, tables.nodes),
            nodes=node_frame(readings),
        ),
        warnings=warnings,
        agreement=None,
        comparison=None,
        opinions=(),
        figures=figures_of(run, tables, (), None, family),
        tuning=tuning,
        parts=parts,
    )


def _verdict(parts: dict[str, Study], warnings: tuple[str, ...]) -> Verdict:
    """Say what was measured, and what each part found in one sentence."""
    planned = sum(sum(study.counts.values()) for study in parts.values())
    headline = say(
        MEASURED if len(parts) > 1 else ONE_MEASURED,
        parts=plural(len(parts), "part"),
        titles=listing([study.run.title for study in parts.values()]),
        done=sum(study.counts["done"] for study in parts.values()),
        planned=plural(planned, "trial"),
    )
    found = [
        say(FOUND, title=study.run.title, found=study.verdict.spoken) for study in parts.values()
    ]
    return Verdict(headline=headline, details=tuple(found), caveats=warnings, reservations=())
