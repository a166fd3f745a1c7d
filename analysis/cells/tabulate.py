"""The tables of a report, as text that both the page and the Markdown print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.scaling import Point, Scaling
from analysis.cells.series import Series
from analysis.statistics.stats import karp_flatt
from analysis.text.sentence import reported, say, together
from analysis.text.wording import DASH, NOTHING, interval, number, percent, ratio
from collect.run import RunManifest
from core.record import Scalar

HASH = re.compile(r"^[0-9a-f]{20,}$")
SHORT = 12
TELLING_FACTS = (
    "board", "cpu_model", "cores", "max_frequency_mhz", "governor", "memory_mib", "swap_kinds",
    "os", "architecture", "page_size", "wireless", "link_mbit", "clock_synchronised", "emulated",
    "gpu_0_name", "gpu_0_driver", "gpu_0_memory_mib", "gpu_0_power_limit_w",
    "gpu_0_clock_maximum_mhz", "gpu_0_pcie_width", "gpu_0_persistence_mode",
)  # fmt: skip
"""Facts of a node that matter for its speed; the others are in the table of all facts."""


@dataclass(frozen=True, slots=True)
class Text:
    """A cell of a table.

    Attributes:
        text: what is shown.
        title: the whole of it, where the text is shortened; else empty.
        anchor: id of the part of the page that it leads to; else empty.
    """

    text: str
    title: str = ""
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a report.

    Attributes:
        numeric: which columns hold numbers, by position.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    numeric: frozenset[int] = field(default=frozenset())


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], numeric: Iterable[str] = ()
) -> Table:
    """A table from plain strings; long hashes are shortened, their whole in the title."""
    return Table(
        columns=tuple(columns),
        rows=tuple(
            tuple(cell if isinstance(cell, Text) else short_hash(cell) for cell in row)
            for row in rows
        ),
        numeric=frozenset(columns.index(name) for name in numeric),
    )


def as_frame(made: Table) -> pd.DataFrame:
    """The table as text in a frame, hashes whole."""
    rows = [[cell.title or cell.text for cell in row] for row in made.rows]
    return pd.DataFrame(rows, columns=list(made.columns))


def naming(data: pd.DataFrame) -> dict[str, str]:
    """The columns that name a row; the model only where there are several."""
    model = {"model": "Model"} if len(data["model"].unique()) > 1 else {}
    return {**model, "series": "Series", "nodes": "Nodes"}


def short_hash(value: str) -> Text:
    """A hash by its first twelve digits; anything else whole."""
    return Text(value[:SHORT], value) if HASH.match(value) else Text(value)


def plain(value: object) -> str:
    """A fact as a reader wants it: nothing as a dash, truth as yes or no."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def lines(made: Table) -> Iterator[str]:
    """A table for a terminal, its columns under each other."""
    rows = [made.columns, *([cell.text for cell in row] for row in made.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        aligned = (
            text.rjust(width) if index in made.numeric else text.ljust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(aligned).rstrip()


def cell_table(all_series: Sequence[Series], scalings: Sequence[Scaling]) -> Table:
    """Every cell: its figures first, as far as a phone shows, then its state, trials and attempts.

    A column that says nothing of any cell is left out.
    """
    by_series = {id(scaling.series): scaling for scaling in scalings}
    thrown = any(cell.attempts.thrown for series in all_series for cell in series.cells)
    rows = [
        _cell_row(series, cell, by_series.get(id(series)), with_attempts=thrown)
        for series in all_series
        for cell in series.cells
    ]
    always = ("Series", "Nodes", "State", "Trials")
    columns = (
        "Series", "Nodes", "Tokens/s: median (95 %)", "Speed-up (95 %)", "Efficiency", "ms/token",
        "Range", "CV", "Karp-Flatt", "State", "Trials", "Attempts that count",
    )  # fmt: skip
    shown = [
        name for name in columns if name in always or any(row[name] != NOTHING for row in rows)
    ]
    numeric = [name for name in shown if name not in ("Series", "State")]
    return table(shown, [[row[name] for name in shown] for row in rows], numeric)


def _cell_row(
    series: Series, cell: CellResult, scaling: Scaling | None, *, with_attempts: bool
) -> dict[str, str]:
    found = cell.estimate("decode_tokens_per_s")
    time_ms = cell.estimate("decode_ms_per_token")
    point = scaling.point(cell.nodes) if scaling else None
    is_base = scaling is not None and scaling.baseline is cell
    return {
        "Series": series.label,
        "Nodes": str(cell.nodes),
        "Tokens/s: median (95 %)": interval(found, brief=True),
        "Speed-up (95 %)": (
            "baseline" if is_base else ratio(point.speed_up, brief=True) if point else NOTHING
        ),
        "Efficiency": percent(point.efficiency) if point else NOTHING,
        "ms/token": interval(time_ms, brief=True),
        "Range": f"{number(found.minimum)}{DASH}{number(found.maximum)}" if found else NOTHING,
        "CV": percent(found.variation) if found else NOTHING,
        "Karp-Flatt": _serial(point),
        "State": cell.state,
        "Trials": f"{cell.counts['done']}/{cell.planned}",
        "Attempts that count": (
            say("{good} of {made}", good=cell.attempts.good, made=cell.attempts.made)
            if with_attempts
            else NOTHING
        ),
    }


def _serial(point: Point | None) -> str:
    """The serial fraction with the ends that those of the speed-up give it; none beyond 0 to 1.

    Beyond, the speed-up is no work's that only partly runs in parallel, and there is no fraction.
    """
    if point is None or point.serial_fraction is None or not 0 <= point.serial_fraction <= 1:
        return NOTHING
    found, value = point.speed_up, number(point.serial_fraction, 2)
    if not found.has_interval or found.low is None or found.high is None:
        return value
    low, high = (karp_flatt(end, point.nodes) for end in (found.high, found.low))
    return f"{value} ({number(low, 2)}{DASH}{number(high, 2)})"


def failure_table(
    all_series: Sequence[Series], trials: pd.DataFrame, attempts: pd.DataFrame
) -> Table | None:
    """Everything that did not work: attempts that failed or do not count, cells that cannot run.

    It includes cells that wait for a node which the run has not seen, as those have no attempt. An
    attempt that failed before another one of its trial succeeded is listed too.
    """
    cells = {c.record.cell_id: (s, c) for s in all_series for c in s.cells}
    rows: list[list[str]] = []
    for series, cell in cells.values():
        head = [series.label, str(cell.nodes)]
        if cell.counts["unavailable"]:
            reason = (
                reported(cell.record.unavailable or "") or together(cell.reasons, "; ") or NOTHING
            )
            rows.append([*head, _how_many(cell, "unavailable"), "unavailable", reason])
        if cell.counts["pending"] and not cell.attempts.made and cell.reasons:
            rows.append(
                [*head, _how_many(cell, "pending"), "pending", together(cell.reasons, "; ")]
            )
    owner = dict(zip(trials["trial_id"], trials["cell_id"], strict=True))
    repeat = dict(zip(trials["trial_id"], trials["repeat"], strict=True))
    states = dict(zip(trials["trial_id"], trials["state"], strict=True))
    bad = attempts[attempts["outcome"] != "done"]
    for row in bad.sort_values(["trial_id", "attempt"]).to_dict("records"):
        trial = row["trial_id"]
        series, cell = cells[owner[trial]]
        ended = {"done": "; a later attempt was good", "pending": "; to be tried again"}
        rows.append(
            [
                series.label,
                str(cell.nodes),
                say(
                    "trial {repeat}, attempt {attempt}",
                    repeat=repeat[trial],
                    attempt=row["attempt"],
                ),
                say(
                    "{outcome}{states}",
                    outcome=row["outcome"],
                    states=ended.get(str(states[trial]), ""),
                ),
                reported(plain(row["cause"])),
            ]
        )
    if not rows:
        return None
    return table(("Series", "Nodes", "Trial", "Outcome", "Cause"), rows, ["Nodes"])


def _how_many(cell: CellResult, state: str) -> str:
    """How many of a cell's trials are in a state."""
    count = cell.counts[state]
    return (
        say("all {count} trials", count=count)
        if count == cell.planned
        else say("{count} of {planned} trials", count=count, planned=cell.planned)
    )


def flag_table(all_series: Sequence[Series]) -> Table | None:
    """What parsers found odd in the logs of done trials, with how many trials it concerns."""
    rows = []
    for series in all_series:
        for cell in series.measured:
            if "flags" not in cell.done:
                continue
            flags = cell.done["flags"].dropna().value_counts()
            rows += [
                [
                    series.label,
                    str(cell.nodes),
                    say("{times} of {done}", times=times, done=cell.counts["done"]),
                    str(flag),
                ]
                for flag, times in flags.items()
                if str(flag)
            ]
    return table(("Series", "Nodes", "Trials", "What"), rows, ["Nodes"]) if rows else None


def frame_table(
    frame: pd.DataFrame, columns: Mapping[str, str], percents: Iterable[str] = ()
) -> Table:
    """Some columns of a frame under readable names; figures rounded for reading."""
    shares = set(percents)
    rows = [
        [_figure(row[name], is_share=name in shares) for name in columns]
        for row in frame.to_dict("records")
    ]
    numeric = [
        title for name, title in columns.items() if pd.api.types.is_numeric_dtype(frame[name])
    ]
    return table(tuple(columns.values()), rows, numeric)


def _figure(value: object, *, is_share: bool) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return percent(value) if is_share else number(value)
    return plain(value)


def node_tables(run: RunManifest) -> tuple[Table, Table]:
    """What of the nodes a reader of speeds must know: what all share, and a row a node."""
    facts = [name for name in TELLING_FACTS if any(name in told for told in run.nodes.values())]
    shared = [name for name in facts if _is_shared(run, name)]
    differing = [name for name in facts if name not in shared]
    first = next(iter(run.nodes.values()), {})
    same = table(
        ("Fact", "On every node"), [[_spelled(name), plain(first.get(name))] for name in shared]
    )
    rows = [
        [name, *(plain(values.get(fact)) for fact in differing)]
        for name, values in run.nodes.items()
    ]
    return same, table(("Node", *(_spelled(fact) for fact in differing)), rows)


def provenance_table(run: RunManifest) -> Table:
    """Tabulate all facts of the nodes when the run began: a row a fact, a column a node."""
    facts = dict.fromkeys(name for told in run.nodes.values() for name in told)
    rows = [
        [_spelled(fact), *(plain(told.get(fact)) for told in run.nodes.values())] for fact in facts
    ]
    return table(("Fact", *run.nodes), rows)


def _is_shared(run: RunManifest, fact: str) -> bool:
    return len({str(values.get(fact)) for values in run.nodes.values()}) == 1


def _spelled(name: str) -> str:
    return name.replace("_", " ")


def fact_table(facts: Mapping[str, Scalar | None]) -> Table:
    """An engine's stamp."""
    return table(("Fact", "Value"), [[_spelled(k), plain(v)] for k, v in facts.items()])


def model_table(run: RunManifest) -> Table:
    """The model files with their hashes."""
    return table(("File", "sha256"), [[name, digest] for name, digest in run.models.items()])
