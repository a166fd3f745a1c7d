"""The runs of a week: which they are, and what of each is on the week's page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.blocks import Block, Bullets, Charted, Grid, Prose, Section, Tally, note
from analysis.reading import study_in
from analysis.sections import sections_of
from analysis.sections.parts import prefixed
from analysis.study import Study
from analysis.text.sentence import say, verbatim
from analysis.text.wording import plural
from analysis.week.question import matrix_question
from analysis.within import blocks_in
from collect.account import Account, Scrutiny
from collect.diary.dates import Week, local_day
from collect.run import RunManifest
from core.errors import HerdError
from core.foreign import one_line

MOST_CHARTS = 4
"""Charts of a run on the page of a week; its report has all."""
FEW_RUNS, SOME_RUNS = 4, 8
"""Up to so many runs each has all of these charts, or half of them; of more, each has one. A search
for settings alone makes five runs."""
TELLING = ("decode-rate", "speed-up", "time-split", "prompt-rate")
"""Charts that come first, by the end of their name; all others in the order of the report."""
MOST_DETAILS = 4
TITLE = "Run: {title}"
ASKED = "Run {run}: {question}"
MORE_CHARTS = "{charts} of this run are in its report: fab report --run {run}"
DAMAGED = "The run {run} cannot be read: {reason}"


@dataclass(frozen=True, slots=True)
class RunOfWeek:
    """A run of the week.

    Attributes:
        name: of the run.
        done: trials that are done.
        planned: trials that were planned.
        section: its part of the page.
        study: what it means; None where its folder is damaged.
    """

    name: str
    done: int
    planned: int
    section: Section
    study: Study | None


def runs_in_week(runs: Iterable[tuple[Path, RunManifest]], week: Week) -> list[Path]:
    """Return the folders of the runs that were measured in a week, in the order of the input.

    A run that began in one week and ended in another is of both, and of those between.
    """
    return [folder for folder, run in runs if _is_in(folder, run, week)]


def _is_in(folder: Path, run: RunManifest, week: Week) -> bool:
    began = local_day(run.created_at)
    if began > week.last:
        return False
    if began >= week.first:
        return True
    try:
        account = Account.read(folder, Scrutiny.RECORDS)
    except HerdError:
        return False
    return any(
        week.first <= local_day(one.record.started_at)
        for trial in account.trials
        for one in trial.attempts
        if one.record is not None
    )


def runs_of_week(folders: Sequence[Path]) -> list[RunOfWeek]:
    """Make the parts of the page that are of runs, with fewer charts each if the runs are many."""
    halved = MOST_CHARTS // 2 if len(folders) <= SOME_RUNS else 1
    most = MOST_CHARTS if len(folders) <= FEW_RUNS else halved
    return [run_of_week(folder, place, most) for place, folder in enumerate(folders, start=1)]


def run_of_week(folder: Path, place: int, most: int = MOST_CHARTS) -> RunOfWeek:
    """Make a run's part of the page.

    Args:
        folder: `results/<run>`.
        place: among the runs of the page, from 1: names of files and ids begin with it.
        most: charts of it.
    """
    prefix = f"run-{place}-"
    try:
        study = study_in(folder)
    except HerdError as error:
        told = say(DAMAGED, run=folder.name, reason=one_line(str(error)))
        return RunOfWeek(
            folder.name, 0, 0, Section(f"run-{place}", folder.name, (Prose((told,)),)), None
        )
    blocks = tuple(_blocks(study, most))
    title = say(TITLE, title=verbatim(study.run.title))
    made = prefixed(Section("of-week", title, blocks, menu=verbatim(study.run.run)), prefix)
    section = Section(f"run-{place}", made.title, made.blocks, made.menu)
    counts = study.counts
    return RunOfWeek(study.run.run, counts["done"], sum(counts.values()), section, study)


def _blocks(study: Study, most: int) -> Iterator[Block]:
    verdict = study.verdict
    yield Prose((verdict.headline,))
    if verdict.details:
        yield Bullets(verdict.details[:MOST_DETAILS])
    if verdict.caveats:
        yield Bullets(verdict.caveats, is_warning=True)
    yield Tally("ledger", "Ledger", "planned", study.counts)
    yield note(say(ASKED, run=study.run.run, question=matrix_question(study.run)))
    charts = _charts(study)
    if charts:
        yield Grid(tuple(charts[:most]), "charts")
    if len(charts) > most:
        more = plural(len(charts) - most, "more chart")
        yield note(say(MORE_CHARTS, charts=more, run=study.run.run))


def _charts(study: Study) -> list[Charted]:
    """The charts of a run's report, the most important ones first."""
    found = [
        block
        for section in sections_of(study)
        for block in blocks_in(section)
        if isinstance(block, Charted)
    ]
    return sorted(found, key=_rank)


def _rank(block: Charted) -> int:
    names = (place for place, end in enumerate(TELLING) if block.chart.name.endswith(end))
    return next(names, len(TELLING))
