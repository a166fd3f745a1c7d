"""The lines that a research log gets by itself: of a run, a search for settings, a tuned model.

They are made in the language in force.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from analysis.text.markdown import escaped
from analysis.text.sentence import say, translated, verbatim
from analysis.text.wording import plural
from analysis.week.question import matrix_question
from collect.account import Account, Scrutiny
from core.foreign import one_line

RUN = "{question}. {cells}, {done} of {trials} done. {verdict}"
RUN_WITH_FAILURES = "{question}. {cells}, {done} of {trials} done, {failed} failed. {verdict}"
SEARCH = "{engine}, {model}: {settings} tried, {trials}. {verdict}"
TUNED = "{base}, {steps}. {verdict}"
LONGEST_TEXT, LONGEST_VERDICT = 4000, 320


@dataclass(frozen=True, slots=True)
class RecordedLine:
    """A line for a log.

    Attributes:
        text: one line of Markdown.
        moment: when that ended, in local time.
    """

    text: str
    moment: datetime


def run_line(folder: Path, verdict: str) -> RecordedLine:
    """Make the line of a run.

    Args:
        folder: `results/<run>`.
        verdict: what its report found; the first line counts.

    Raises:
        HerdError: the folder is damaged.
    """
    account = Account.read(folder, Scrutiny.RECORDS)
    counts, run = account.counts(), account.manifest
    records = [one.record for trial in account.trials for one in trial.attempts if one.record]
    ends = [record.started_at + record.trial_wall_s for record in records]
    text = say(
        RUN_WITH_FAILURES if counts["failed"] else RUN,
        question=_shown(matrix_question(run)),
        cells=plural(len(run.cells), "cell"),
        done=counts["done"],
        failed=counts["failed"],
        trials=plural(counts["planned"], "trial"),
        verdict=_shown(verdict),
    )
    return RecordedLine(translated(text), local_time(max(ends, default=run.created_at)))


def search_line(
    engine: str, model: str, settings: int, trials: int, verdict: str, moment: float
) -> RecordedLine:
    """Make the line of a search for the best settings.

    Args:
        engine: that was tuned.
        model: with which.
        settings: how many were tried.
        trials: how many were measured.
        verdict: what its page found; the first line counts.
        moment: when it ended, Unix time in seconds.
    """
    text = say(
        SEARCH,
        engine=_shown(engine),
        model=_shown(model),
        settings=plural(settings, "setting"),
        trials=plural(trials, "trial"),
        verdict=_shown(verdict),
    )
    return RecordedLine(translated(text), local_time(moment))


def tuned_line(base: str, steps: int, verdict: str, moment: float) -> RecordedLine:
    """Make the line of a fine-tuned model.

    Args:
        base: the model that was trained.
        steps: of the training.
        verdict: what changed; the first line counts.
        moment: when it ended, Unix time in seconds.
    """
    text = say(TUNED, base=_shown(base), steps=plural(steps, "step"), verdict=_shown(verdict))
    return RecordedLine(translated(text), local_time(moment))


def local_time(moment: float) -> datetime:
    """Return a Unix time in seconds as local time, by this machine's time zone at that moment."""
    return datetime.fromtimestamp(moment).astimezone()


def _shown(text: str) -> str:
    """Text from anywhere as Markdown on one line, in the language in force."""
    first = one_line(translated(text).strip().partition("\n")[0], LONGEST_TEXT)
    return verbatim(escaped(_shortened(first)))


def _shortened(text: str) -> str:
    """Return the first whole clauses of a text that is too long for a line."""
    cut = one_line(text, LONGEST_VERDICT)
    clauses = re.match(r".*[.;](?= )", cut) if cut != text else None
    return f"{clauses[0]} …" if clauses and len(clauses[0]) >= LONGEST_VERDICT // 4 else cut
