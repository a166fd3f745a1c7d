"""Energy at the wall: what smart plugs counted, which of them failed, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from analysis.answers.prices import cost_of_system
from analysis.blocks import Block, File, Part, Tabled
from analysis.cells.tabulate import Table, frame_table
from analysis.cells.wall import (
    API,
    COLUMNS,
    PLUG_COLUMNS,
    PRICE_COLUMNS,
    electricity_rows,
    not_read,
    plug_frame,
    typical_curve,
    wall_frame,
    without_plug,
)
from analysis.charted import charted
from analysis.charts.power import power_chart
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from analysis.text.wording import listing, nodes, percent

AT_THE_WALL = (
    "Energy of whole devices at the socket, by smart plugs: power supplies, boards and disks are "
    "in it. Figures are medians over trials. Do not compare them with what counters inside "
    "machines count, which leave those out."
)
ONE_SCOPE = "All figures include: {scope}."
SCOPES = "Compare only rows that include the same."
IDLE = (
    "Above idle: without what the same devices used for as long before the first trial of the "
    "session, when they did nothing."
)
ERROR = (
    "Error, at most: from the steps of counters and the time between readings, median over trials. "
    "How well a plug is calibrated is not in it."
)
AT_ONCE = (
    "Of several deployments at once, the window is from the start of the first root to the end of "
    "the last: joules are those of all nodes, tokens those of all users, and a deployment that has "
    "ended is in it until the last one ends. All at work: the share of the window in which all "
    "roots ran."
)
IN_PART = (
    "{series} on {nodes}: the roots of all ran in only {overlap} of the window. In the rest, nodes "
    "that had ended or not begun are in the energy, too."
)
NOT_READ = (
    "No figure for {division}: it was measured when plugs were not read for several deployments at "
    "once."
)
NO_PLUG = "No figure for cells with {names}: not behind a plug."
FAILED = (
    "A plug that gave no energy leaves its trials valid, and without energy at the wall. The "
    "reason is the most frequent one."
)
PRICES = (
    "Next to each other: what tokens cost in electricity on own machines, and what APIs charge. "
    "Machines, their upkeep and cooling are not in the first."
)
ENOUGH = 0.8
"""Share of the window from which deployments count as at the same time."""
NO_PRICE = (
    "The inventory gives no price of electricity (herd_electricity_price), so own machines have "
    "tokens per watt-hour only."
)


def wall_parts(study: Study, window: Sentence) -> Iterator[Part]:
    """Make the part of a run with plugs.

    Args:
        study: of the run.
        window: what is in the window that was measured.
    """
    if not study.tables.plugs.empty:
        yield Part("At the wall", tuple(_blocks(study, window)), "wall")


def _blocks(study: Study, window: Sentence) -> Iterator[Block]:
    data = wall_frame(study.all_series)
    if not data.empty:
        yield _figures(study, data, window)
        curve = typical_curve(study.all_series, study.tables.plugs, study.tables.power)
        if curve is not None:
            chart = power_chart(
                curve.data, series=curve.series.whole_label, on=curve.cell.nodes, block=curve.block
            )
            yield from charted([chart])
        yield from _prices(study, data)
    plugs = plug_frame(study.tables.plugs)
    notes = (say(FAILED),) if plugs["reason"].notna().any() else ()
    table = _shown(plugs, PLUG_COLUMNS)
    yield Tabled("Smart plugs", table, notes, File("energy-plugs", plugs))


def _figures(study: Study, data: pd.DataFrame, window: Sentence) -> Tabled:
    scopes = list(dict.fromkeys(data["scope"]))
    columns = {name: title for name, title in COLUMNS.items() if name != "scope" or scopes[1:]}
    notes = [
        say(AT_THE_WALL),
        window,
        say(SCOPES) if scopes[1:] else say(ONE_SCOPE, scope=scopes[0]),
    ]
    if data["idle_w"].notna().any():
        notes.append(say(IDLE))
    notes.append(say(ERROR))
    notes += _at_once(study, data)
    if bare := without_plug(study.all_series, study.tables.plugs):
        notes.append(say(NO_PLUG, names=listing(bare, "or")))
    return Tabled(
        "Energy at the wall", _shown(data, columns), tuple(notes), File("energy-wall", data)
    )


def _at_once(study: Study, data: pd.DataFrame) -> Iterator[Sentence]:
    """Say which window cells of several deployments have, and where it is not that of all."""
    known = data[data["overlap"].notna()]
    if len(known):
        yield say(AT_ONCE)
    for row in known[known["overlap"] < ENOUGH].to_dict("records"):
        on, share = nodes(int(row["nodes"])), percent(row["overlap"])
        yield say(IN_PART, series=row["series"], nodes=on, overlap=share)
    for division in not_read(study.all_series, study.tables.plugs):
        yield say(NOT_READ, division=division)


def _prices(study: Study, data: pd.DataFrame) -> Iterator[Tabled]:
    """Yield electricity next to the prices of APIs, where there is a price of either."""
    electricity, paid = study.run.electricity, list(_paid(study))
    if electricity is None and not paid:
        return
    rows = pd.DataFrame([*electricity_rows(data, electricity), *paid], columns=list(PRICE_COLUMNS))
    rows["nodes"] = rows["nodes"].astype("Int64")
    notes = [say(PRICES)] if paid else []
    if electricity is None:
        notes.append(say(NO_PRICE))
    table = _shown(rows, PRICE_COLUMNS)
    yield Tabled("Electricity and prices", table, tuple(notes), File("energy-prices", rows))


def _paid(study: Study) -> Iterator[dict[str, object]]:
    for system in study.comparison.systems if study.comparison else ():
        bill = cost_of_system(system, study.tables.answers)
        if bill is not None:
            yield {
                "system": system.name,
                "million_tokens": bill.price.output,
                "thousand_answers": 1000 * bill.answer,
                "currency": bill.price.currency,
                "pays_for": API,
            }


def _shown(data: pd.DataFrame, columns: Mapping[str, str]) -> Table:
    """Return the figures without columns that hold nothing."""
    told = {name: title for name, title in columns.items() if data[name].notna().any()}
    if "model" in told and len(data["model"].unique()) == 1:
        del told["model"]
    return frame_table(data, told, percents=["error_share", "overlap"])
