"""Compare speed over links of different rates and delays with what others published.

Speeds of other machines and models cannot be compared, but how much a slower link costs can. So
each figure is given relative to that on the fastest link of the same series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.cells.cells import LINK_DELAY as DELAY
from analysis.cells.cells import LINK_RATE as RATE
from analysis.cells.cells import CellResult, Rest
from analysis.cells.labels import link_in_words
from analysis.cells.scaling import DECODE
from analysis.cells.series import Series, series_of
from analysis.network.literature import published_over_links
from analysis.statistics.stats import Ratio, paired_ratio
from core.record import Scalar

TRIP = "link_round_trip_ms"
COLUMNS = (
    "model", "series", "nodes", "link", RATE, DELAY, "round_trip_ms", "value", "low", "high",
    "against_fastest", "against_low", "against_high", "against_coverage", "blocks", "trials",
)  # fmt: skip
Row = dict[str, Any]
Link = tuple[int, int]


def over_links(all_series: Iterable[Series]) -> pd.DataFrame:
    """Decoding speed by link, a row for each cell that was measured over one of several.

    `against_fastest` is against the same cell's speed over its fastest link, paired by block, with
    its ends: of an interval where `against_coverage` is 0.95 or more, else the range of few
    `blocks`; nothing where no block has both, or where a GPU is software. `published_<n>` are
    the shares that others published of it for sequences of n tokens over such links.
    """
    groups: dict[Rest, dict[Link, CellResult]] = {}
    for series in all_series:
        for cell in series.measured:
            params = cell.record.params
            if RATE in params or DELAY in params:
                rest = tuple(sorted((k, v) for k, v in params.items() if k not in (RATE, DELAY)))
                groups.setdefault(rest, {})[_link(params)] = cell
    several = {rest: by_link for rest, by_link in groups.items() if len(by_link) > 1}
    labels = _labels(several)
    rows = [
        row for rest, by_link in several.items() for row in _rows(dict(rest), by_link, labels[rest])
    ]
    names = sorted({name for row in rows for name in row if name.startswith("published_")})
    return pd.DataFrame(rows, columns=[*COLUMNS, *sorted(names, key=_tokens)])


def _tokens(column: str) -> int:
    return int(column.rpartition("_")[2])


def _link(params: Mapping[str, Scalar]) -> Link:
    return int(params.get(RATE, 0)), int(params.get(DELAY, 0))


def _speed_of(link: Link) -> tuple[int, float]:
    """Links in this order become slower; a rate of 0 is the lab's own."""
    rate, delay_ms = link
    return delay_ms, -(rate or float("inf"))


def _labels(
    groups: Mapping[Rest, Mapping[Link, CellResult]],
) -> dict[Rest, str]:
    """What to call the cells of a group: as the report's series, without the link."""
    plain = []
    for rest, by_link in groups.items():
        cell = next(iter(by_link.values()))
        record = cell.record.model_copy(update={"params": dict(rest)})
        plain.append(replace(cell, record=record))
    found = {}
    for series in series_of(plain):
        for cell in series.cells:
            found[tuple(sorted(cell.record.params.items()))] = series.panel_label
    return found


def _rows(
    params: Mapping[str, Scalar], by_link: Mapping[Link, CellResult], label: str
) -> Iterable[Row]:
    links = sorted(by_link, key=_speed_of)
    published = published_over_links(str(params["engine"]), links[0])
    fastest = by_link[links[0]]
    for link in links:
        cell = by_link[link]
        found, trip = cell.estimate(DECODE), cell.estimate(TRIP)
        if found is None:
            continue
        against = paired_ratio(cell.by_block(DECODE), fastest.by_block(DECODE))
        shares = _against(against, is_fastest=link == links[0])
        yield {
            "model": params["model"],
            "series": label,
            "nodes": cell.nodes,
            "link": link_in_words(*link),
            RATE: link[0],
            DELAY: link[1],
            "round_trip_ms": None if trip is None else trip.value,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            **({} if cell.software or fastest.software else shares),
            "trials": found.n,
            **{f"published_{tokens}": s for tokens, s in published.get(link, {}).items()},
        }


def _against(found: Ratio | None, *, is_fastest: bool) -> Row:
    if is_fastest:
        return {"against_fastest": 1.0}
    if found is None or not found.blocks:
        return {"blocks": 0}
    return {
        "against_fastest": found.value,
        "against_low": found.low,
        "against_high": found.high,
        "against_coverage": found.coverage,
        "blocks": len(found.blocks),
    }
