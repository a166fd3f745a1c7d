"""The two arms of each cell: how far identical cells differ, and the noise floor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.cells.cells import CellResult, cell_results
from analysis.cells.family import Claim, Compared, Family, Pair, Side
from analysis.cells.scaling import DECODE, SPEED
from analysis.cells.series import Series, engine_named, series_of, thing
from analysis.statistics.floor import Floor, noise_floor
from analysis.statistics.stats import paired_ratio
from analysis.text.sentence import say
from analysis.text.wording import nodes
from collect.arms import ARM, FIRST, SECOND, has_arms
from collect.run import RunManifest
from collect.tables import Tables

COLUMNS = (
    "what", "model", "series", "nodes", "cell", "pairs", "ratio", "low", "high", "p_adjusted",
    "verdict",
)  # fmt: skip
FLOOR_COLUMNS = (
    "what", "floor", "low", "high", "pairs_of_each", "cells", "pairs", "largest",
    "correlation_of_neighbours", "held_in_simulations",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Twice:
    """A cell that was measured as two identical arms.

    Attributes:
        series: its series, without its arm.
        cell: arm a, which is the cell of all other sections.
        name: the cell for readers.
        compared: arm a with arm b, corrected for the other cells.
    """

    series: Series
    cell: CellResult
    name: str
    compared: Compared

    @property
    def what(self) -> str:
        """The quantity."""
        return self.compared.pair.what

    @property
    def is_apart(self) -> bool:
        """Its arms were found to differ, although they are the same."""
        return self.compared.finding in (Claim.FASTER, Claim.SLOWER)


@dataclass(frozen=True, slots=True)
class Texts:
    """Whether the arms of a cell answered the same.

    Attributes:
        compared: answers of both arms to the same question in the same trial.
        differing: how many of them differ.
    """

    cell: CellResult
    name: str
    compared: int
    differing: int


@dataclass(frozen=True, slots=True)
class Noise:
    """What identical arms showed.

    Attributes:
        arms: every series of the run, both arms apart.
        tables: of the run, with both arms.
        twice: the cells that were measured twice, as far as both arms have a speed.
        floors: quantity to its noise floor; nothing where too little was measured.
        texts: of cells that answered questions.
    """

    arms: tuple[Series, ...]
    tables: Tables
    twice: tuple[Twice, ...]
    floors: Mapping[str, Floor]
    texts: tuple[Texts, ...] = field(default=())

    @property
    def counts(self) -> dict[str, int]:
        """Trials of second arms by state."""
        seconds = [cell for one in self.arms for cell in one.cells if one.params.get(ARM) == SECOND]
        states = {state for cell in seconds for state in cell.counts}
        return {state: sum(cell.counts[state] for cell in seconds) for state in states}

    @property
    def broken(self) -> tuple[Twice, ...]:
        """The cells whose identical arms were found to differ."""
        return tuple(one for one in self.twice if one.is_apart)

    @property
    def alone(self) -> dict[str, str]:
        """Name of each cell with one measured arm to the arm that was not measured."""
        return {
            name_of(series, cell, self.arms): SECOND if cell.is_measured else FIRST
            for series, cell, other in both_arms(self.arms)
            if cell.is_measured != other.is_measured
        }

    @property
    def frame(self) -> pd.DataFrame:
        """`noise-arms.csv`: a row a cell and quantity, ratios of arm a to arm b."""
        return pd.DataFrame([_row(one) for one in self.twice], columns=list(COLUMNS))

    @property
    def floor_frame(self) -> pd.DataFrame:
        """`noise-floor.csv`: a row a quantity, ratios above 1."""
        rows = [
            (what, f.ratio, f.low, f.high, f.blocks, f.cells, f.pairs, f.largest, f.alike, f.held)
            for what, f in self.floors.items()
        ]
        return pd.DataFrame(rows, columns=list(FLOOR_COLUMNS))


def noise_of(run: RunManifest, tables: Tables) -> Noise | None:
    """What the arms of a run showed; None if nothing was measured twice.

    Args:
        run: with both arms.
        tables: of both.
    """
    if not has_arms(run):
        return None
    arms = series_of(cell_results(run, tables.trials, tables.attempts, tables.nodes))
    noise = Noise(arms, tables, (), {})
    return with_floors(noise, list(speeds_of_arms(arms)), run.equivalence_margin)


Armed = tuple[Series, CellResult, str, Pair]
"""Series and cell of an arm a, its name, and the pair of it and its arm b."""


def with_floors(noise: Noise, pairs: Sequence[Armed], margin: float) -> Noise:
    """The same with these comparisons of arms, which are corrected together, and their floors."""
    family = Family([pair for *_, pair in pairs], margin)
    twice = tuple(
        Twice(series, cell, name, compared)
        for series, cell, name, pair in pairs
        if (compared := family.find(*pair.key))
    )
    found: dict[str, list[list[float]]] = {}
    for one in twice:
        figures = one.compared.ratio
        logs = [math.log(value) for value in figures.values] if figures else []  # noqa: PD011
        found.setdefault(one.what, []).append(logs)
    floors = {what: floor for what, logs in found.items() if (floor := noise_floor(logs))}
    return replace(noise, twice=twice, floors=floors)


def both_arms(arms: Sequence[Series]) -> Iterator[tuple[Series, CellResult, CellResult]]:
    """Each series of arms a with one of its cells, and that cell's arm b."""
    second = {
        (_key(series), cell.nodes): cell
        for series in arms
        if series.params.get(ARM) == SECOND
        for cell in series.cells
    }
    for series in arms:
        for cell in series.cells if series.params.get(ARM) == FIRST else ():
            partner = second.get((_key(series), cell.nodes))
            if partner is not None:
                yield series, cell, partner


def name_of(series: Series, cell: CellResult, arms: Sequence[Series]) -> str:
    """A cell for readers, without its arm."""
    plain = [one for one in arms if one.params.get(ARM) != SECOND]
    models = {(one.model, one.weights) for one in plain}
    named = thing if len(models) > 1 else engine_named
    who = str(series.params["system"]) if "system" in series.params else named(series, plain)
    return say("{who} on {nodes}", who=who, nodes=nodes(cell.nodes)) if cell.nodes else who


def _key(series: Series) -> frozenset[tuple[str, object]]:
    return frozenset((axis, value) for axis, value in series.params.items() if axis != ARM)


def speeds_of_arms(arms: Sequence[Series]) -> Iterator[Armed]:
    """The speed of each arm a with that of its arm b, where both have one that may be compared."""
    for series, cell, other in both_arms(arms):
        one, two = cell.by_block(DECODE), other.by_block(DECODE)
        ratio = paired_ratio(one, two) if one and two and not cell.software else None
        if ratio is None or not ratio.blocks:
            continue
        name = name_of(series, cell, arms)
        sides = sides_of(name, cell, other)
        yield series, cell, name, Pair(SPEED, *sides, len(ratio.blocks), ratio)


def sides_of(name: str, cell: CellResult, other: CellResult) -> tuple[Side, Side]:
    """Both arms of a cell as the sides of a comparison."""
    return (
        Side(cell.record.cell_id, say("{name}, arm {arm}", name=name, arm=FIRST)),
        Side(other.record.cell_id, say("{name}, arm {arm}", name=name, arm=SECOND)),
    )


def _row(one: Twice) -> tuple[object, ...]:
    pair, ratio = one.compared.pair, one.compared.ratio
    figures = (ratio.value, ratio.low, ratio.high) if ratio else (None, None, None)
    series = one.series
    head = (pair.what, series.model, series.engine, one.cell.nodes, one.name, pair.n)
    return (*head, *figures, one.compared.p_adjusted, str(one.compared.finding))
