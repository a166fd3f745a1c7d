"""The page of two runs: the answer, each speed, quality, what differs, what is not compared."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis.blocks import Block, Bullets, Code, File, Prose, Section, Tabled, note
from analysis.cells.tabulate import frame_table, table
from analysis.charted import charted
from analysis.pages import write_pages
from analysis.stability.course import moment
from analysis.statistics.two_runs import ASSUMED
from analysis.text.sentence import say
from analysis.text.wording import NOTHING, bare_percent, listing, number
from analysis.two_runs.changes import change_frame
from analysis.two_runs.chart import speed_chart
from analysis.two_runs.comparison import TwoRuns
from analysis.two_runs.quality import quality_frame
from analysis.two_runs.sentences import caveats, details, headline, shown_ratio
from core.durable import land_instead, writing
from core.errors import HerdError
from core.foreign import inside
from core.language.choice import ENGLISH
from core.record import own_folder
from core.scratch import scratch

FOLDER = "comparisons"
LONGEST = 80
"""Characters of a run's name in the name of the folder."""
BETWEEN = "-against-"
"""Between the names of both runs, in the name of the folder."""
TITLE = "{contender} against {baseline}"
OF_ONE = "Two runs of {title}"
ABOUT = (
    "Baseline: {baseline}, started {began}, toolkit {toolkit}. Contender: {contender}, started "
    "{started}, toolkit {other}."
)
READ = (
    "Ratios are of the contender's mean speed over the baseline's; more than 1 is faster. Of "
    "answers, times are turned round (1/s) and paired by question. All are corrected for one "
    "another (Holm)."
)
BY = "Changed: what of the cell was changed, as far as the runs recorded it."
RULE = (
    "With a limit of {limit}: a speed breaks it if it is slower, and if chance alone makes a speed "
    "that is slower by just that much look so slow in at most 2.5 % of cases (one-sided, Holm)."
)
NO_CHANGES = "Nothing that the runs recorded differs."
IGNORED = (
    "Not listed: what changes by itself, such as free memory, the moment of booting, addresses and "
    "clocks. Hashes of programs are in what identifies a cell."
)
QUALITY_READ = (
    "Paired by question or document, with the 95 % interval of the change. A perplexity has no "
    "noise; it counts as the same up to 0.1 %."
)
CHANGE_HEADS = {
    "kind": "Kind",
    "where": "Where",
    "what": "What",
    "baseline": "Baseline",
    "contender": "Contender",
}
SIDES = {"baseline": "Baseline", "contender": "Contender", "neither": "Neither"}
COLUMNS = (
    "cell", "what", "baseline_per_s", "contender_per_s", "n_baseline", "n_contender", "ratio",
    "low", "high", "p_adjusted", "verdict", "why", "changed", "paired_by", "beyond_limit",
)  # fmt: skip


def write_comparison(
    found: TwoRuns, results: Path, languages: tuple[str, ...] = (ENGLISH,)
) -> Path:
    """Write the page to `<results>/comparisons/<contender>-against-<baseline>/`.

    One that is there is replaced.

    Args:
        found: what was compared.
        results: folder of all runs.
        languages: in which it is written.

    Returns:
        The page.

    Raises:
        HerdError: it cannot be written.
    """
    name = folder_name(found.baseline.run.run, found.contender.run.run)
    parent = results / FOLDER
    target = inside(parent, name)
    with writing("the comparison", target):
        results.mkdir(parents=True, exist_ok=True)
        if own_folder(results, FOLDER) is None:
            parent.mkdir()
        with scratch(parent, "comparison") as made:
            folder = made / name
            folder.mkdir()
            title = _title(found.contender.run.title, found.baseline.run.title)
            write_pages(
                folder, title, name, list(comparison_sections(found)), _silent, languages=languages
            )
            land_instead(folder, target)
    return target / "index.html"


def _silent(_line: str) -> None:
    """Print nothing."""


def _title(contender: str, baseline: str) -> str:
    if contender == baseline:
        return say(OF_ONE, title=baseline)
    return say(TITLE, contender=contender, baseline=baseline)


def folder_name(baseline: str, contender: str) -> str:
    """The name of the folder; long names are cut and then distinguished by a hash."""
    name = BETWEEN.join((contender, baseline))
    if max(len(baseline.encode()), len(contender.encode())) <= LONGEST:
        return name
    short = BETWEEN.join((contender[: LONGEST // 4], baseline[: LONGEST // 4]))
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def comparison_sections(found: TwoRuns) -> Iterator[Section]:
    """Make the sections of the page."""
    yield Section("answer", headline(found), tuple(_answer(found)))
    if found.speeds:
        yield _speeds(found)
    if found.quality:
        yield _quality(found)
    yield _changes(found)
    if found.left:
        yield _left(found)
    commands = (
        Prose((say("This page, from the files of both runs:"),)),
        Code(comparison_command(found)),
    )
    yield Section("reproduce", "Reproduce", commands, "Reproduce")


def comparison_command(found: TwoRuns) -> str:
    """The command that makes the page again."""
    asked = found.asked
    words = [
        "fab",
        "compare-runs",
        *(asked.names or (found.baseline.run.run, found.contender.run.run)),
    ]
    words += ["--fail-below", f"{100 * asked.limit:g}%"] if asked.limit is not None else []
    words += ["--assume", f"{100 * asked.bound:g}%"] if asked.bound != ASSUMED else []
    return shlex.join(words)


def _answer(found: TwoRuns) -> Iterator[Block]:
    further = tuple(details(found))
    if further:
        yield Bullets(further)
    yield Bullets(tuple(caveats(found)), is_warning=True)
    one, other = found.baseline.run, found.contender.run
    yield note(
        say(
            ABOUT, baseline=one.run, began=moment(one.created_at), toolkit=one.toolkit,
            contender=other.run, started=moment(other.created_at), other=other.toolkit,
        )
    )  # fmt: skip


def _speeds(found: TwoRuns) -> Section:
    quantities = dict.fromkeys(one.asked.what for one in found.speeds)
    charts = [
        chart
        for what in quantities
        if (chart := speed_chart(what, [s for s in found.speeds if s.asked.what == what],
                                 found.margin))
    ]  # fmt: skip
    kinds = {pair.key: listing(list(pair.changed)) or "nothing" for pair in found.pairs}
    rows = [
        [one.asked.name, one.asked.what, *map(number, one.asked.per_s), shown_ratio(one),
         str(one.compared.finding), one.compared.why or NOTHING, kinds[one.asked.key]]
        for one in found.speeds
    ]  # fmt: skip
    heads = ("Cell", "Speed", "Baseline", "Contender", "Ratio", "Verdict", "Why", "Changed")
    limit = found.asked.limit
    notes = [say(READ), say(BY)]
    notes += [say(RULE, limit=bare_percent(limit))] if limit is not None else []
    shown = table(heads, rows, heads[2:4])
    tabled = Tabled(
        "Speeds", shown, tuple(notes), File("speeds", speed_frame(found)), is_sortable=True
    )
    return Section("speeds", "Speeds", (*charted(charts), tabled), menu="Speeds")


def speed_frame(found: TwoRuns) -> pd.DataFrame:
    """`speeds.csv`: a row a cell and speed; of answers in 1/s."""
    pairs = {pair.key: pair for pair in found.pairs}
    rows = []
    for one in found.speeds:
        ratio, pair = one.means.ratio, pairs[one.asked.key]
        rows.append((
            one.asked.name, one.asked.what, *one.asked.per_s, len(one.asked.baseline),
            len(one.asked.contender), ratio.value, ratio.low, ratio.high,
            one.compared.p_adjusted, str(one.compared.finding), one.compared.why,
            " ".join(pair.changed), pair.by, one.is_beyond,
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _quality(found: TwoRuns) -> Section:
    rows = [
        [one.name, one.what, *one.shown, str(one.n), one.verdict or NOTHING]
        for one in found.quality
    ]
    heads = ("Cell", "What", "Baseline", "Contender", "Of", "Verdict")
    shown = table(heads, rows, heads[2:5])
    file = File("quality", quality_frame(found.quality))
    tabled = Tabled("Answers and texts", shown, (say(QUALITY_READ),), file)
    return Section("quality", "Answers and texts", (tabled,), menu="Answers and texts")


def _changes(found: TwoRuns) -> Section:
    frame = change_frame(found.changes)
    file = File("changes", frame)
    blocks: tuple[Block, ...] = (
        (Tabled("What differs", frame_table(frame, CHANGE_HEADS), (say(IGNORED),), file),)
        if len(frame)
        else (note(say(NO_CHANGES), say(IGNORED), file=file),)
    )
    return Section("changes", "What differs between the runs", blocks, menu="What differs")


def _left(found: TwoRuns) -> Section:
    frame = pd.DataFrame(
        [(one.side, one.name, one.why) for one in found.left], columns=["side", "cell", "why"]
    )
    names = {"side": "Measured in", "cell": "Cell", "why": "Why it is not compared"}
    shown = frame_table(frame.replace({"side": SIDES}), names)
    tabled = Tabled("Not compared", shown, file=File("not-compared", frame))
    return Section("left", "Not compared", (tabled,), menu="Not compared")


def require_judged(found: TwoRuns) -> None:
    """See that a limit can be judged.

    Raises:
        HerdError: no speed has enough trials in both runs, so nothing was looked at.
    """
    if found.asked.limit is not None and not (found.is_judged or found.lost):
        raise HerdError(
            f"--fail-below {100 * found.asked.limit:g}%: no speed of these runs can be judged. It "
            "takes six trials of a cell in both, or thirty questions that both answered."
        )
