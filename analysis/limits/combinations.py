"""The cells of an engine with a model: what its limits and strengths are looked for in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from analysis.cells.cells import CellResult
from analysis.cells.labels import named_by, users_at_once, varying_axes
from analysis.cells.scaling import DECODE, Point, Scaling
from analysis.cells.series import Series
from analysis.text.sentence import say
from analysis.text.wording import nodes


@dataclass(frozen=True, slots=True)
class Combination:
    """An engine with a model and weights, on nodes.

    Attributes:
        engine: its name.
        model: its name, with its weights in brackets.
        series: all of it.
        scalings: those whose speed was measured and may be compared.
    """

    engine: str
    model: str
    series: tuple[Series, ...]
    scalings: tuple[Scaling, ...]

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """Every cell, measured or not."""
        return tuple(cell for series in self.series for cell in series.cells)

    @property
    def best(self) -> tuple[Scaling, Point] | None:
        """The best point of the series whose best has the highest median; None without a speed."""
        pairs = [(scaling, scaling.best) for scaling in self.scalings]
        return max(pairs, key=lambda pair: median_rate(pair[1].cell), default=None)

    @property
    def shared(self) -> CellResult | None:
        """Of the cells with the most nodes of each series, the fastest on several; else None."""
        last = (scaling.points[-1].cell for scaling in self.scalings)
        several = (cell for cell in last if cell.nodes > 1 and not _each_alone(cell))
        return max(several, key=median_rate, default=None)

    def series_of(self, cell: CellResult) -> Series:
        """The series that has a cell."""
        return next(series for series in self.series if any(own is cell for own in series.cells))

    def setting(self, cell: CellResult) -> str:
        """`eight nodes (net-turbo off)`: what distinguishes a cell from the others here."""
        return self.with_distinction(nodes(cell.nodes), cell)

    def with_distinction(self, words: str, cell: CellResult, without: Sequence[str] = ()) -> str:
        """Add to some words what else than the number of nodes distinguishes a cell.

        Args:
            words: that name the cell.
            cell: a cell.
            without: axes that the words have already.
        """
        varying = varying_axes(series.params for series in self.series)
        distinction = named_by(cell.record.params, [one for one in varying if one not in without])
        return (
            say("{words} ({distinction})", words=words, distinction=distinction)
            if distinction
            else words
        )


def _each_alone(cell: CellResult) -> bool:
    """Several deployments of one node each: none shares its work."""
    return users_at_once(cell.record.params) == cell.nodes


def median_rate(cell: CellResult) -> float:
    """Median tokens/s of a cell; 0 without any."""
    found = cell.estimate(DECODE)
    return found.value if found else 0.0


def combinations_of(
    all_series: Iterable[Series], scalings: Sequence[Scaling]
) -> Iterator[Combination]:
    """Put series on nodes together that have an engine, a model and weights in common."""
    found: dict[tuple[str, str, str], list[Series]] = {}
    for series in all_series:
        if not series.is_remote:
            key = (series.engine, series.model, series.weights)
            found.setdefault(key, []).append(series)
    for (engine, model, weights), members in found.items():
        ids = {id(series) for series in members}
        yield Combination(
            engine=engine,
            model=f"{model} ({weights})" if weights else model,
            series=tuple(members),
            scalings=tuple(one for one in scalings if id(one.series) in ids),
        )
