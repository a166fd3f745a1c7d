"""Report the nodes' state during a run: heat, clock, throttling, swapping, as far as known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.cells.tabulate import Table, table
from analysis.text.sentence import say, together
from analysis.text.wording import DASH, listing, number, plural

BITS = {
    0: "under-voltage",
    1: "clock capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""Of `get_throttled` of the Raspberry Pi's firmware; 16 higher: since the last boot."""
SLOWED = (
    "Nodes were throttled: {nodes}. Such attempts do not count, but a cluster in use is as slow as "
    "they are: cool the nodes, or use a stronger power supply."
)
SLOW = "{node} in {throttled_attempts:.0f} of {attempts}"
SLOW_AND_WHY = "{node} in {throttled_attempts:.0f} of {attempts} ({throttling})"
NO_THROTTLING = "No node reports whether it was throttled."
UNKNOWN_THROTTLING = "Not reported whether throttled: {nodes}."
NO_HEAT = "No node reports its temperature."
UNKNOWN_HEAT = "Temperature not reported: {nodes}."
NOT_TOLD = "not reported"
COLUMNS = (
    "node", "attempts", "told_throttling", "throttled_attempts", "throttling",
    "coldest_before_c", "hottest_after_c", "lowest_clock_mhz", "highest_clock_mhz",
    "swapped_pages",
)  # fmt: skip


def node_frame(nodes: pd.DataFrame) -> pd.DataFrame:
    """Make a row a node that took part in an attempt; what it does not report is missing.

    Args:
        nodes: the nodes table (see `collect.tables`).
    """
    if nodes.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    readings = nodes.drop_duplicates(["attempt_id", "node"])
    rows = [_row(str(node), own) for node, own in readings.groupby("node", sort=False)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(node: str, own: pd.DataFrame) -> dict[str, Any]:
    bits = throttled_bits(own)
    told = bits.notna()
    seen = [name for bit, name in BITS.items() if (bits[told].astype(int) & 1 << bit).any()]
    clock = own["frequency_after_mhz"].dropna()
    return {
        "node": node,
        "attempts": len(own),
        "told_throttling": int(told.sum()),
        "throttled_attempts": int((bits[told].astype(int) > 0).sum()) if told.any() else None,
        "throttling": ", ".join(seen),
        "coldest_before_c": _of(own["temperature_before_c"].min()),
        "hottest_after_c": _of(own["temperature_after_c"].max()),
        "lowest_clock_mhz": _of(clock.min()),
        "highest_clock_mhz": _of(clock.max()),
        "swapped_pages": _of(own["swapped_pages"].sum(min_count=1)),
    }


def _of(value: Any) -> float | None:  # noqa: ANN401 - a scalar of pandas, perhaps missing
    return None if pd.isna(value) else float(value)


def throttled_bits(readings: pd.DataFrame) -> pd.Series:
    """Return bits 0 to 3 of what slowed a node during each attempt; missing if not reported."""
    before, after, meanwhile = (
        pd.to_numeric(readings[f"throttled_{when}"], errors="coerce").astype("Int64")
        for when in ("before", "after", "meanwhile")
    )
    now = before | after | meanwhile.fillna(0)
    since_boot = after & ~before
    return (now | (since_boot // (1 << 16))) & 0b1111


def node_table(frame: pd.DataFrame) -> Table | None:
    """The same for readers; None where no attempt has a reading."""
    if frame.empty:
        return None
    rows = [
        [
            row["node"],
            str(row["attempts"]),
            _throttled(row),
            _span(row["coldest_before_c"], row["hottest_after_c"]),
            _span(row["lowest_clock_mhz"], row["highest_clock_mhz"]),
            NOT_TOLD if pd.isna(row["swapped_pages"]) else f"{row['swapped_pages']:.0f}",
        ]
        for row in frame.to_dict("records")
    ]
    columns = (
        "Node", "Attempts", "Throttled", "°C, coldest before to hottest after",
        "Clock after an attempt, MHz", "Pages swapped",
    )  # fmt: skip
    return table(columns, rows, (columns[1], *columns[3:]))


def _throttled(row: dict[Any, Any]) -> str:
    if not row["told_throttling"]:
        return NOT_TOLD
    times = int(row["throttled_attempts"])
    silent = row["attempts"] - row["told_throttling"]
    words = _slowed(row, times) if times else "never"
    return (
        say("{words}; {not_told} in {silent}", words=words, not_told=NOT_TOLD, silent=silent)
        if silent
        else words
    )


def _slowed(row: dict[Any, Any], times: int) -> str:
    """How often a node was throttled, and by what where it reports more than that."""
    attempts = plural(times, "attempt")
    if further := _further(row):
        return say("in {times}: {throttling}", times=attempts, throttling=further)
    return say("in {times}", times=attempts)


def _further(row: dict[Any, Any]) -> str:
    """What a node reports in addition to being throttled."""
    return ", ".join(one for one in row["throttling"].split(", ") if one != BITS[2])


def _span(low: float | None, high: float | None) -> str:
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return NOT_TOLD
    return number(low) if low == high else f"{low:.0f}{DASH}{high:.0f}"


def machine_sentences(frame: pd.DataFrame) -> tuple[str, ...]:
    """Which nodes slowed themselves down, with what to do; empty if none is known to have."""
    slowed = [row for row in frame.to_dict("records") if (row["throttled_attempts"] or 0) > 0]
    if not slowed:
        return ()
    return (say(SLOWED, nodes=_listing([_named_slow(row) for row in slowed])),)


def _named_slow(row: dict[Any, Any]) -> str:
    further = _further(row)
    return say(
        SLOW_AND_WHY if further else SLOW,
        node=row["node"],
        throttled_attempts=row["throttled_attempts"],
        attempts=plural(row["attempts"], "attempt"),
        **({"throttling": further} if further else {}),
    )


def silence(frame: pd.DataFrame) -> str:
    """Name the nodes that do not report throttling or temperature; empty if all do."""
    if frame.empty:
        return ""
    parts = []
    for column, nobody, some in (
        ("told_throttling", NO_THROTTLING, UNKNOWN_THROTTLING),
        ("hottest_after_c", NO_HEAT, UNKNOWN_HEAT),
    ):
        values = frame[column]
        silent = list(frame.loc[values.isna() | (values == 0), "node"].map(str))
        if silent:
            is_all = len(silent) == len(frame)
            parts.append(say(nobody) if is_all else say(some, nodes=_listing(silent)))
    return together(parts) if parts else ""


MOST_NAMED = 6


def _listing(names: Sequence[str]) -> str:
    named = list(names[:MOST_NAMED])
    rest = len(names) - len(named)
    return listing([*named, say("{rest} more", rest=rest)] if rest else named)
