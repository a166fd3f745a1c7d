"""The page of a search: its answer, the confirmation, every setting tried, the rungs, failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis.blocks import Block, Bullets, Code, File, Prose, Section, Tabled, cited, note
from analysis.cells.labels import in_words, named_by
from analysis.cells.tabulate import Text, frame_table, table
from analysis.charted import charted
from analysis.pages import write_pages
from analysis.references import with_numbers
from analysis.settings.chart import setting_chart
from analysis.settings.judgement import WHAT, TuningVerdict, setting_in_words
from analysis.text.sentence import reported, say, together
from analysis.text.wording import NOTHING, number, plural, ratio
from collect.search import Confirmation, TriedSetting, TuningResult
from core.durable import land_instead, writing
from core.foreign import inside, one_line
from core.language.choice import ENGLISH
from core.scratch import scratch

TITLE = "Tuning {engine}, {model}"
ASKED = "Each trial: {workload} tokens. What was to be fast: {what}."
FIXED = "The same in all settings: {fixed}."
TUNED = "Tuned: {axes}. The first value is the default."
SEARCHED = "{tried} of {all} settings that can run here were tried, in {trials} ({minutes} min)."
BUDGET = "The budget was {budget}."
PAIRED = "{pairs}, measured in turn after the search, in the run {run}. More than 1 is faster."
KEPT = (
    "After each rung the better half is kept, and what the noise cannot distinguish from the best, "
    "as far as the budget pays for it."
)
CUT = (
    "After rung {rung}, the budget paid for no more: left out were {settings} that the noise "
    "cannot distinguish from the best."
)
LAST = "After the last rung, the noise cannot distinguish {settings} from the one that was chosen."
OF_THE_SEARCH = (
    "The ratios are those of the search. Of settings that were chosen for it, they are too high on "
    "average, so only the confirmation is to be quoted."
)
FATES = {
    "best": "best, went to the confirmation",
    "slower": "slower",
    "undecided": "as fast within the noise",
    "failed": "failed",
    "impossible": "cannot run here",
}
"""Fate of a setting to what the table calls it."""
ONLY_BEST = "best"
"""The same of the best one where there was nothing to confirm."""


def write_search_page(
    searched: TuningResult,
    judged: TuningVerdict,
    reports: Path,
    winner: str | None = None,
    languages: tuple[str, ...] = (ENGLISH,),
) -> Path:
    """Write the page of a search to `<reports>/<name>/`; one that is there is replaced.

    Args:
        searched: what was found.
        judged: what that means.
        reports: folder of all reports.
        winner: the command that measures with the best setting; None where it is no gain.
        languages: in which it is written.

    Returns:
        The page.

    Raises:
        HerdError: it cannot be written.
    """
    target = inside(reports, searched.name)
    told = {name: one_line(str(searched.fixed[name])) for name in ("engine", "model")}
    title = say(TITLE, **told)
    with writing(f"the report of {searched.name}", target):
        reports.mkdir(parents=True, exist_ok=True)
        with scratch(reports, "report") as made:
            folder = made / searched.name
            folder.mkdir()
            sections = with_numbers(tuning_sections(searched, judged, winner))
            write_pages(folder, title, searched.name, sections, _untold, languages=languages)
            land_instead(folder, target)
    return target / "index.html"


def _untold(_line: str) -> None:
    """Print no progress."""


def tuning_sections(
    searched: TuningResult, judged: TuningVerdict, winner: str | None = None
) -> Iterator[Section]:
    """Make the sections of the page."""
    blocks: list[Block] = [Bullets(judged.details)] if judged.details else []
    blocks += [Code(winner)] if winner else []
    sources = cited(("Successive halving", "karnin2013"))
    yield Section("answer", judged.answer, (*blocks, *_asked(searched), *sources))
    if searched.confirmation is not None and judged.family is not None:
        yield _confirmation(searched.confirmation, judged)
    yield _tried(searched, judged)
    yield _rungs(searched)
    if failures := [one for one in searched.tried if one.cause is not None]:
        yield _failures(searched, failures)


def _asked(searched: TuningResult) -> Iterator[Prose]:
    tried = sum(one.rung > 0 for one in searched.tried)
    axes = [
        say(
            "{axis}: {values}",
            axis=axis.replace("_", " "),
            values=together((in_words(axis, value) for value in values), ", "),
        )
        for axis, values in searched.axes.items()
    ]
    yield note(
        say(ASKED, workload=searched.workload, what=WHAT[searched.speed]),
        say(FIXED, fixed=named_by(searched.fixed, list(searched.fixed))),
        say(TUNED, axes=together(axes, "; ")),
        say(
            SEARCHED,
            tried=tried,
            all=searched.combinations,
            trials=plural(searched.trials, "trial"),
            minutes=number(searched.seconds / 60, 2),
        ),
        say(BUDGET, budget=searched.budget) if searched.budget else "",
    )


def _confirmation(confirmation: Confirmation, judged: TuningVerdict) -> Section:
    assert judged.family is not None  # noqa: S101 - the caller looked
    rows = [
        [
            WHAT[row.pair.what],
            str(row.pair.n),
            ratio(row.ratio) if row.ratio else NOTHING,
            str(row.finding),
        ]
        for row in judged.family.rows
    ]
    columns = ("Speed of", "Pairs", "Times as fast as the default", "Verdict")
    pairs = plural(confirmation.pairs, "pair")
    notes = (say(PAIRED, pairs=pairs, run=confirmation.run), judged.family.in_words())
    shown = table(columns, rows, ("Pairs",))
    compared = Tabled("Confirmation", shown, notes, File("comparisons", judged.family.frame()))
    values = File("pairs", pair_frame(confirmation), "every pair as CSV")
    return Section(
        "confirmation",
        "Confirmation",
        (compared, note(say("The values behind it:"), file=values)),
        menu="Confirmation",
    )


def pair_frame(confirmation: Confirmation) -> pd.DataFrame:
    """`pairs.csv`: a row a block and kind of speed; speeds are answers or phases per second."""
    ours, default = confirmation.best.speeds, confirmation.default.speeds
    rows = [
        (kind, block, ours[kind].get(block), default.get(kind, {}).get(block))
        for kind in ours
        for block in sorted(ours[kind].keys() | default.get(kind, {}).keys())
    ]
    frame = pd.DataFrame(rows, columns=["what", "block", "best_per_s", "default_per_s"])
    return frame.assign(ratio=frame["best_per_s"] / frame["default_per_s"])


def setting_frame(searched: TuningResult) -> pd.DataFrame:
    """`settings.csv`: a row a setting, the best first."""
    axes = list(searched.axes)
    rows = [
        (
            *(one.setting[axis] for axis in axes),
            one.is_default,
            one.fate,
            one.rung,
            one.trials,
            one.crashes,
            one.gain,
            one.cause,
        )
        for one in searched.tried
    ]
    names = ("is_default", "fate", "last_rung", "trials", "failed_attempts", "search_gain", "cause")
    return pd.DataFrame(rows, columns=[*axes, *names])


def _tried(searched: TuningResult, judged: TuningVerdict) -> Section:
    rows = [
        [
            _named(searched, one),
            number(one.gain, 3) if one.gain is not None else NOTHING,
            str(one.rung) if one.rung else NOTHING,
            str(one.trials),
            str(one.crashes),
            FATES[one.fate]
            if one.fate != "best" or searched.confirmation is not None
            else ONLY_BEST,
        ]
        for one in searched.tried
    ]
    columns = ("Setting", "In the search, to the default", "Last rung", "Trials", "Failed", "Fate")
    file = File("settings", setting_frame(searched))
    shown = table(columns, rows, columns[1:5])
    tabled = Tabled("Settings tried", shown, (say(OF_THE_SEARCH),), file, is_sortable=True)
    row = judged.family.rows[0] if judged.family and judged.family.rows else None
    chart = setting_chart(searched, row)
    charts = charted([chart] if chart else [])
    return Section("settings", "Settings tried", (*charts, tabled), menu="Settings")


def _named(searched: TuningResult, one: TriedSetting) -> str:
    return setting_in_words(one.setting, searched.default)


def _rungs(searched: TuningResult) -> Section:
    names = {
        "rung": "Rung", "settings": "Settings", "trials": "Trials of each", "failed": "Failed",
        "undecided": "Left out within the noise", "kept": "Kept", "run": "Run",
    }  # fmt: skip
    rows = [
        (
            one.number, one.run, one.settings, one.trials, one.failed, one.undecided, one.kept,
            one.is_short_of_budget,
        )
        for one in searched.rungs
    ]  # fmt: skip
    columns = [
        "rung",
        "run",
        "settings",
        "trials",
        "failed",
        "undecided",
        "kept",
        "short_of_budget",
    ]
    frame = pd.DataFrame(rows, columns=list(columns))
    cut = [
        say(
            CUT if one.is_short_of_budget else LAST,
            rung=one.number,
            settings=plural(one.undecided, "setting"),
        )
        for one in searched.rungs
        if one.undecided
    ]
    tabled = Tabled("Rungs", frame_table(frame, names), (say(KEPT), *cut), File("rungs", frame))
    return Section("rungs", "Rungs", (tabled,), menu="Rungs")


def _failures(searched: TuningResult, failures: list[TriedSetting]) -> Section:
    rows: list[list[str | Text]] = [
        [_named(searched, one), FATES[one.fate], Text(reported(one_line(one.cause or "", 300)))]
        for one in failures
    ]
    tabled = Tabled("What did not work", table(("Setting", "Fate", "Cause"), rows))
    return Section("failures", "What did not work", (tabled,), menu="Failures")
