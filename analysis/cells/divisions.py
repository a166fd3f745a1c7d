"""The same nodes divided among several deployments at once (axis `groups`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.family import Compared, Family, Pair, Side
from analysis.cells.labels import GROUPS, users_at_once
from analysis.cells.scaling import DECODE
from analysis.cells.series import Series, engine_named, thing
from analysis.statistics.stats import Estimate, estimate, paired_ratio
from collect.labels import deployments

SUM_RATE, OVERLAP = "sum_tokens_per_s", "all_overlap"
"""Columns of cells that measure several deployments at once: the sum of the speeds of all, each
over its own time, and the share of the window in which all were at work."""
WINDOW_RATE = "all_tokens_per_s"
"""Tokens of all over the window: less, where some ended earlier and left others alone."""
SLOWEST_RATE = "slowest_tokens_per_s"
LEAST_OVERLAP = 0.05
"""Share of the window below which deployments were at work one after another."""
OF_ALL = "tokens/s of all"
"""What is compared, as `comparisons.csv` calls it."""
COLUMNS = (
    "model", "weights", "engine", "series", "groups", "deployments", "nodes_of_each", "trials",
    "one_user", "one_user_low", "one_user_high", "slowest", "all", "all_low", "all_high",
    "over_window", "overlap",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Division:
    """Nodes that were divided in one way.

    Attributes:
        cell: its trials.
        words: `4 at once, each on 1 node`.
    """

    series: Series
    cell: CellResult
    words: str

    @property
    def one_user(self) -> Estimate | None:
        """Tokens/s of the median deployment."""
        return self.cell.estimate(DECODE)

    @property
    def of_all(self) -> Estimate | None:
        """Tokens/s of all deployments, their speeds added up; None if that was not measured."""
        return estimate(list(self.all_by_block.values()), of_rates=True)

    @property
    def all_by_block(self) -> Mapping[int, float]:
        """Block to tokens/s of all; of a single deployment its own."""
        return all_by_block(self.cell)

    @property
    def overlap(self) -> float | None:
        """Median share of the window in which all generated (0 to 1); None if not measured."""
        return overlap_of(self.cell)


def overlap_of(cell: CellResult) -> float | None:
    """Return the median share of the window in which all generated (0 to 1); None if unknown."""
    found = cell.estimate(OVERLAP)
    return found.value if found else None


def all_by_block(cell: CellResult) -> Mapping[int, float]:
    """Return block to the tokens/s of all users of a cell.

    Speeds of deployments that were at work one after another make no sum: it is empty for them.
    """
    if users_at_once(cell.record.params) == 1:
        return cell.by_block(DECODE)
    return cell.by_block(SUM_RATE) if (overlap_of(cell) or 0.0) >= LEAST_OVERLAP else {}


def divisions_of(all_series: Iterable[Series]) -> list[list[Division]]:
    """Return the divisions of a run that differ in nothing else, in the order of the plan."""
    found: dict[object, list[Division]] = {}
    for series in all_series:
        if GROUPS not in series.params:
            continue
        rest = tuple(sorted((axis, v) for axis, v in series.params.items() if axis != GROUPS))
        for cell in series.cells:
            key = (rest, frozenset(cell.record.nodes))
            words = deployments(str(series.params[GROUPS]))
            found.setdefault(key, []).append(Division(series, cell, words))
    return list(found.values())


def division_pairs(all_series: Sequence[Series]) -> tuple[Pair, ...]:
    """What of all deployments' tokens/s is compared: every two divisions of the same nodes."""
    return tuple(
        _pair(one, other, all_series)
        for group in divisions_of(all_series)
        for one, other in itertools.combinations(group, 2)
        if one.of_all and other.of_all and not (one.cell.software or other.cell.software)
    )


def _pair(one: Division, other: Division, all_series: Sequence[Series]) -> Pair:
    ratio = paired_ratio(one.all_by_block, other.all_by_block)
    first, second = (
        Side(side.cell.record.cell_id, thing(side.series, all_series)) for side in (one, other)
    )
    return Pair(OF_ALL, first, second, len(ratio.blocks) if ratio else 0, ratio)


def compared_with(one: Division, other: Division, family: Family) -> Compared | None:
    """Return the comparison of two divisions' tokens/s of all; None if none was made."""
    return family.find(OF_ALL, one.cell.record.cell_id, other.cell.record.cell_id)


def division_frame(
    groups: Iterable[Iterable[Division]], all_series: Sequence[Series]
) -> pd.DataFrame:
    """Return the table of the section: a row a division."""
    rows = [_row(one, all_series) for group in groups for one in group]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(one: Division, all_series: Sequence[Series]) -> dict[str, object]:
    user, every = one.one_user, one.of_all
    slowest, window = (one.cell.estimate(name) for name in (SLOWEST_RATE, WINDOW_RATE))
    number, _, size = str(one.series.params[GROUPS]).partition("x")
    return {
        "model": one.series.model,
        "weights": one.series.weights,
        "engine": one.series.engine,
        "series": engine_named(one.series, all_series, without=(GROUPS,)),
        "groups": one.words,
        "deployments": int(number),
        "nodes_of_each": int(size),
        "trials": one.cell.counts["done"],
        **_ends("one_user", user),
        "slowest": slowest and slowest.value,
        **_ends("all", every),
        "over_window": window and window.value,
        "overlap": one.overlap,
    }


def _ends(name: str, found: Estimate | None) -> dict[str, float | None]:
    if found is None:
        return {}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
