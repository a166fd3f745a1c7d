"""Charts in sentences with numbers, for who cannot see them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.cells.sync import SyncShare
from analysis.charts.frames import MEDIAN, MISSING
from analysis.text.sentence import say, together
from analysis.text.wording import listing, nodes, number, plural

MOST = 8
"""The most series that are described one by one."""


def _sentences(parts: Iterable[str]) -> str:
    listed = list(parts)
    rest = len(listed) - MOST
    told = (
        [*listed[:MOST], say("{rest} more series are in the CSV", rest=rest)]
        if rest > 0
        else listed
    )
    return together(say("{part}.", part=part) for part in told)


def _series(data: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each series, with its name and, where there are several, its model."""
    several = len(data["model"].unique()) > 1
    for (model, series), rows in data.groupby(["model", "series"], sort=False):
        yield (
            (say("{model}, {series}", model=model, series=series) if several else str(series)),
            rows.sort_values("nodes"),
        )


def points(data: pd.DataFrame, unit: str) -> str:
    """Medians over nodes: `distributed-llama: 25.1 on one node, 44.3 on two nodes (tokens/s)`."""
    return _sentences(
        say("{name}: {list} ({unit})", name=name, list=listing(list(_medians(rows))), unit=unit)
        for name, rows in _series(data[data["kind"].isin([MEDIAN, MISSING])])
    )


def _medians(rows: pd.DataFrame) -> Iterator[str]:
    for row in rows.to_dict("records"):
        on = nodes(int(row["nodes"]))
        yield (
            say("{value} on {on}", value=number(row["value"]), on=on)
            if row["kind"] == MEDIAN
            else say("nothing on {on}", on=on)
        )


def _over_nodes(data: pd.DataFrame, told: Callable[[Mapping[Hashable, Any], str], str]) -> str:
    """Describe each series with a phrase for each of its rows."""
    return _sentences(
        say("{name}: ", name=name)
        + listing([told(row, nodes(int(row["nodes"]))) for row in rows.to_dict("records")])
        for name, rows in _series(data)
    )


def split(data: pd.DataFrame) -> str:
    """Time and share of sync over nodes."""
    return _over_nodes(
        data,
        lambda row, on: say(
            "{compute_ms} ms on {on}, sync {in_words}",
            compute_ms=number(row["compute_ms"] + row["sync_ms"]),
            on=on,
            in_words=SyncShare(row["sync_share_low"], row["sync_share_high"]).in_words,
        ),
    )


def traffic(data: pd.DataFrame) -> str:
    """KiB a token that the root sends and receives over nodes."""
    return _over_nodes(
        data,
        lambda row, on: say(
            "{sent_kib} KiB sent and {received_kib} received on {on}",
            sent_kib=number(row["sent_kib"]),
            received_kib=number(row["received_kib"]),
            on=on,
        ),
    )


def waiting(data: pd.DataFrame) -> str:
    """Median seconds of each system."""
    medians = data[data["kind"] == MEDIAN]
    return _sentences(
        say("{system}: {value_ms} s", system=row["system"], value_ms=number(row["value_ms"] / 1000))
        for row in medians.to_dict("records")
    )


def over_time(data: pd.DataFrame) -> str:
    """Say how many attempts there were, how they ended, and how far they are from the median."""
    counts = data["outcome"].value_counts()
    ended = [say("{n} {outcome}", n=n, outcome=outcome) for outcome, n in counts.items()]
    attempts = plural(len(data), "attempt")
    parts = [say("{attempts}: {ended}", attempts=attempts, ended=listing(ended))]
    seen = data["times_median"].dropna()
    if len(seen):
        parts.append(
            say(
                "those that count are between {least} and {most} times the median of their cell",
                least=number(seen.min()),
                most=number(seen.max()),
            )
        )
    heat = data["hottest_c"].dropna()
    if len(heat):
        parts.append(
            say(
                "the hottest node was between {least:.0f} and {most:.0f} °C",
                least=heat.min(),
                most=heat.max(),
            )
        )
    return say("{all}.", all=together(parts, "; "))
