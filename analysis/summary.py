"""The few figures that stand on top of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.cells import CellResult, Series
from analysis.frames import sync_share
from analysis.scaling import DECODE, Scaling
from analysis.wording import TIMES, interval, nodes, number, percent, ratio


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it is, its value with unit, and what it belongs to."""

    name: str
    value: str
    unit: str
    about: str


def key_figures(all_series: Sequence[Series], scalings: Sequence[Scaling]) -> tuple[Figure, ...]:
    """Fastest cell, largest gain from nodes, sync share and traffic at the most nodes."""
    found = [
        _fastest(scalings),
        _gain(scalings),
        _sync_share(all_series),
        _traffic(all_series),
    ]
    return tuple(figure for figure in found if figure is not None)


def _fastest(scalings: Sequence[Scaling]) -> Figure | None:
    candidates = [
        (found.value, found, scaling, point)
        for scaling in scalings
        for point in scaling.points
        if (found := point.cell.estimate(DECODE))
    ]
    if not candidates:
        return None
    _, found, scaling, point = max(candidates, key=lambda candidate: candidate[0])
    spread = f"95 %: {_range(interval(found))}; " if found.low is not None else ""
    return Figure(
        "Fastest",
        interval(found).split(" ")[0],
        "tokens/s",
        f"{spread}{scaling.series.label} on {nodes(point.nodes)}",
    )


def _gain(scalings: Sequence[Scaling]) -> Figure | None:
    scaled = [scaling for scaling in scalings if len(scaling.points) > 1]
    if not scaled:
        return None
    best = max(scaled, key=lambda scaling: scaling.best.speed_up.value)
    if not any(scaling.is_known for scaling in scaled):
        return Figure("Gain from more nodes", "unknown", "", "too few trials to compare")
    if best.best.nodes == best.baseline.nodes:
        return Figure("Gain from more nodes", "none", "", "no series is measurably faster")
    found = ratio(best.best.speed_up)
    return Figure(
        "Most gained from nodes",
        f"{TIMES} {found.split(' ')[0]}",
        "",
        f"95 %: {_range(found)}; {best.series.label}, {nodes(best.best.nodes)} against "
        f"{nodes(best.baseline.nodes)}",
    )


def _range(text: str) -> str:
    return text.rpartition("(")[2].rstrip(")")


def _most_nodes(all_series: Sequence[Series], column: str) -> tuple[Series, CellResult] | None:
    pairs = [
        (series, cell)
        for series in all_series
        for cell in series.measured
        if cell.nodes > 1 and cell.by_block(column)
    ]
    return max(pairs, key=lambda pair: pair[1].nodes) if pairs else None


def _sync_share(all_series: Sequence[Series]) -> Figure | None:
    found = _most_nodes(all_series, "sync_ms_per_token")
    if found is None:
        return None
    series, cell = found
    share = percent(sync_share(cell))
    return Figure("Spent on sync", share, "", f"{series.label} on {nodes(cell.nodes)}")


def _traffic(all_series: Sequence[Series]) -> Figure | None:
    found = _most_nodes(all_series, "sent_kib_per_token")
    if found is None:
        return None
    series, cell = found
    sent, received = cell.estimate("sent_kib_per_token"), cell.estimate("received_kib_per_token")
    if sent is None or received is None:
        return None
    return Figure(
        "Root's traffic",
        number(sent.value + received.value),
        "KiB/token",
        f"{series.label} on {nodes(cell.nodes)}",
    )
