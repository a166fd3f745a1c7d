"""The section on stability: what is odd over time, and the tables that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.cells import Series
from analysis.charts import Chart
from analysis.course import course_of
from analysis.csv_file import write_csv
from analysis.machines import machine_sentences, node_frame, node_table, silence
from analysis.stability import Stability, stability_of
from analysis.tabulate import Table, table
from analysis.timeline import timeline_chart
from analysis.token_times import SHARES, token_time_frame
from analysis.wording import DASH, NOTHING, number, percent, plural
from collect.tables import Tables


@dataclass(frozen=True, slots=True)
class Section:
    """What the section on stability prints.

    Attributes:
        sentences: what is odd, each with what to do about it.
        quiet: what was looked at where nothing is odd; empty where something is.
        silence: what nodes do not tell.
        times: when the run began and ended.
        chart: the run over time; None without attempts.
    """

    sentences: tuple[str, ...]
    quiet: str
    silence: str
    times: str
    chart: Chart | None
    cells: Table | None
    machines: Table | None
    blocks: Table | None
    token_times: Table | None

    @property
    def reservation(self) -> str:
        """That something is odd, in a few words; empty if nothing is."""
        return "not steady, see Stability" if self.sentences else ""


def stability_section(all_series: Sequence[Series], tables: Tables, folder: Path) -> Section:
    """Look at the course of a run.

    Its tables go to `stability.csv`, `blocks.csv`, `node-readings.csv` and `token-times.csv` in
    the folder, where there is something to tell.
    """
    found = stability_of(all_series)
    course = course_of(all_series, tables.trials, tables.attempts, tables.nodes)
    nodes = node_frame(tables.nodes)
    times = token_time_frame(all_series, tables.tokens)
    for name, frame in (
        ("stability", found.frame),
        ("blocks", course.blocks),
        ("node-readings", nodes),
        ("token-times", times),
    ):
        if not frame.empty:
            write_csv(frame, folder / f"{name}.csv")
    sentences = (*found.sentences, *machine_sentences(nodes))
    return Section(
        sentences=sentences,
        quiet="" if sentences else _quiet(found),
        silence=silence(nodes),
        times=course.in_words,
        chart=timeline_chart(course),
        cells=_cell_table(found),
        machines=node_table(nodes),
        blocks=course.block_table(),
        token_times=_time_table(times),
    )


def _quiet(found: Stability) -> str:
    if not found.cells:
        return "No cell has two trials with a speed: nothing can be said of how steady the run was."
    trend = "" if found.common else " A trend cannot be told from fewer than five blocks."
    return (
        "Nothing odd: no trend over blocks, no two speeds, no trial far from the others and no "
        f"variation of 10 % or more in {plural(len(found.cells), 'cell')} with two trials or "
        f"more.{trend}"
    )


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
            ", ".join(one.odd) or NOTHING,
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


def _time_table(frame: pd.DataFrame) -> Table | None:
    if frame.empty:
        return None
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
    heads = {"p50_ms": "Half within, ms", "p95_ms": "95 % within, ms",
             "p99_ms": "99 % within, ms", "longest_ms": "Longest, ms"}  # fmt: skip
    columns = (
        *(["Model"] if model else []), "Series", "Nodes", "Tokens", *(heads[name] for name in told),
    )  # fmt: skip
    return table(columns, rows, columns[len(model) + 1 :])


def _cut(value: float, cut_off_ms: float) -> str:
    """A time of which so much may have been cut off, as its least and most."""
    if pd.isna(value):
        return NOTHING
    if not cut_off_ms:
        return number(value)
    return f"{value:.0f}{DASH}{value + cut_off_ms:.0f}"
