"""Stability: what is odd over time, and the tables that show it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.blocks import Block, File, Part, Prose, Section, Tabled, cited, note
from analysis.cells.tabulate import Table, table
from analysis.cells.token_times import SHARES, token_time_frame
from analysis.charted import charted
from analysis.stability.course import Course
from analysis.stability.machines import node_table, silence
from analysis.stability.stability import Stability
from analysis.stability.timeline import timeline_chart
from analysis.study import Steadiness, Study
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import DASH, NOTHING, number, percent, plural

NO_PAIR = "No cell has two trials with a speed, so nothing is known about how steady the run was."
STEADY = (
    "Nothing odd: no trend over blocks, no two speeds, no outlier and no variation of 10 % or more "
    "in {cells} with two trials or more."
)
NO_TREND = "Trends need at least five blocks, so none was looked for."
VARIATION = (
    "CV: standard deviation over mean of a cell's trials; 10 % or more is unstable. First to last "
    "block: by the median of all slopes. A trend, two speeds (a gap in the middle) or an outlier "
    "(far from the median) is reported only if steady trials would look like it in at most one run "
    "of forty, no matter how many cells it has."
)
ATTEMPTS = "Every attempt of the run, with the time it began:"
READ = "Read before and after each attempt."
THROTTLING = "Throttling of Raspberry Pis is also read once a second during the attempt."
TOKENS = "All decoded tokens of the trials that count."
CUT_OFF = (
    "distributed-llama truncates times to whole milliseconds, so the smallest and largest possible "
    "time is shown."
)
TOO_FEW_TOKENS = (
    "A percentile is left out if fewer than ten tokens are beyond it (95 % takes 200 tokens, 99 % "
    "takes 1000)."
)
BLOCKS = "Each block contains every cell once, in random order. Times are from the controller."


def sections(study: Study) -> Iterator[Section]:
    """Make the section on the run over time."""
    found = study.steadiness
    sentences = found.oddities or tuple(_quiet(found.trials))
    chart = timeline_chart(found.course)
    blocks: list[Block] = [Prose((sentence,)) for sentence in sentences]
    blocks += charted([chart]) if chart else _attempts(found.course)
    blocks += [*_cells(found.trials), *_nodes(found), *_token_times(study), *_blocks(found)]
    trends = any(one.trend for one in found.trials.cells)
    blocks += cited(
        ("Rank correlation", "spearman1904") if trends else None,
        ("Median slope", "sen1968") if trends else None,
        ("Trials that are far off", "iglewicz1993") if found.trials.cells else None,
    )
    files = {
        "stability": found.trials.frame,
        "blocks": found.course.blocks,
        "node-readings": found.nodes,
    }
    yield Section(
        "stability", "Stability", tuple(blocks), "Stability",
        tuple(File(stem, data) for stem, data in files.items() if not data.empty),
    )  # fmt: skip


def _attempts(course: Course) -> Iterator[Prose]:
    """A link to every attempt where no chart shows them."""
    if not course.frame.empty:
        yield note(say(ATTEMPTS), file=File("timeline", course.frame))


def _quiet(found: Stability) -> Iterator[Sentence]:
    """What was looked at where nothing is odd."""
    if not found.cells:
        yield say(NO_PAIR)
        return
    yield say(STEADY, cells=plural(len(found.cells), "cell"))
    if not found.common:
        yield say(NO_TREND)


def _cells(found: Stability) -> Iterator[Part]:
    made, title = _cell_table(found), say("Variation between trials")
    if made is not None:
        shown = Tabled(title, made, (say(VARIATION),), File("stability", found.frame))
        yield Part(title, (shown,))


def _cell_table(found: Stability) -> Table | None:
    frame = found.frame
    if frame.empty:
        return None
    rows = [
        [
            one.series.label,
            str(one.cell.nodes),
            str(len(one.by_block)),
            percent(one.variation),
            number(row["slowest_over_median"], 3),
            _signed(one.trend.change) if one.trend else NOTHING,
            f"{one.trend.rho:.2f}" if one.trend else NOTHING,
            together(one.odd, ", ") or NOTHING,
        ]
        for one, row in zip(found.cells, frame.to_dict("records"), strict=True)
    ]
    columns = (
        "Series", "Nodes", "Trials", "CV", "Slowest trial, times the median's time",
        "Tokens/s, first to last block", "Rank correlation with the block", "Odd",
    )  # fmt: skip
    return table(columns, rows, columns[1:7])


def _signed(share: float) -> str:
    sign = "+" if share > 0 else "\N{MINUS SIGN}" if share < 0 else ""
    return f"{sign}{percent(abs(share))}"


def _nodes(found: Steadiness) -> Iterator[Part]:
    made, title = node_table(found.nodes), say("Nodes during the run")
    if made is None:
        return
    is_told = bool((found.nodes["told_throttling"] > 0).any())
    unknown = silence(found.nodes)
    notes = filter(None, (say(READ), say(THROTTLING) if is_told else "", unknown))
    yield Part(title, (Tabled(title, made, tuple(notes), File("node-readings", found.nodes)),))


def _token_times(study: Study) -> Iterator[Part]:
    frame = token_time_frame(study.all_series, study.tables.tokens)
    if frame.empty:
        return
    left_out = frame[[f"p{share}_ms" for share in SHARES]].isna().any(axis=None)
    notes = [TOKENS]
    notes += [CUT_OFF] if (frame["cut_off_ms"] > 0).any() else []
    notes += [TOO_FEW_TOKENS] if left_out else []
    title = say("Token times")
    shown = Tabled(title, _time_table(frame), tuple(map(say, notes)), File("token-times", frame))
    yield Part(title, (shown,))


def _time_table(frame: pd.DataFrame) -> Table:
    names = [f"p{share}_ms" for share in SHARES]
    told = [name for name in (*names, "longest_ms") if frame[name].notna().any()]
    model = ["model"] if len(frame["model"].unique()) > 1 else []
    rows = [
        [
            *(str(row[name]) for name in (*model, "series", "nodes", "tokens")),
            *(_cut(row[name], row["cut_off_ms"]) for name in told),
        ]
        for row in frame.to_dict("records")
    ]
    heads = {"p50_ms": "50 % within, ms", "p95_ms": "95 % within, ms",
             "p99_ms": "99 % within, ms", "longest_ms": "Longest, ms"}  # fmt: skip
    columns = (
        *(["Model"] if model else []), "Series", "Nodes", "Tokens", *(heads[name] for name in told),
    )  # fmt: skip
    return table(columns, rows, columns[len(model) + 1 :])


def _cut(value: float, cut_off_ms: float) -> str:
    """Write a time as its least and most, given how much of it may have been cut off."""
    if pd.isna(value):
        return NOTHING
    if not cut_off_ms:
        return number(value)
    return f"{value:.0f}{DASH}{value + cut_off_ms:.0f}"


def _blocks(found: Steadiness) -> Iterator[Part]:
    made = found.course.block_table()
    if made is not None:
        shown = Tabled("Blocks", made, (say(BLOCKS),), File("blocks", found.course.blocks))
        yield Part("Blocks", (shown,))
