"""Published tables as cells of the cost model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from analysis.model.cost import Observation, Setting
from analysis.model.shapes import shape_named
from analysis.model.wire import Exchanged, Wire, exchanged_with, limit, wire_of
from analysis.network.literature import Publication
from analysis.text.sentence import say
from analysis.text.wording import nodes
from models.shape import Weights

USUAL_WEIGHTS: Weights = "q4_0"
"""Of tables that do not say, or name a type of another program: its rate is part of the fit."""


@dataclass(frozen=True, slots=True)
class PublishedCells:
    """The cells of a table, or why there are none.

    Attributes:
        table: where they are from.
        wire: how nodes exchange in that release; None where no formula is known.
        observations: a cell each.
        refusal: why the cost model does not apply, a sentence; empty if it may.
    """

    table: Publication
    wire: Wire | None
    observations: tuple[Observation, ...]
    refusal: str = ""


def cells_of(table: Publication) -> PublishedCells:
    """Turn a table of times into cells of the cost model."""
    wire = wire_of(table.engine, table.version, table.axes)
    if wire is None:
        told = say(
            "no formula is known for the traffic of {engine} {value}",
            engine=table.engine,
            value=table.version or "",
        )
        return PublishedCells(table, None, (), f"{told.strip()}.")
    unknown = sorted({row.model for row in table.timings if shape_named(row.model) is None})
    if unknown:
        names = ", ".join(unknown)
        return PublishedCells(
            table, wire, (), say("the sizes of {names} are not known.", names=names)
        )
    cells = tuple(_cells(table, wire))
    if impossible := next(filter(None, map(_impossible, cells)), ""):
        return PublishedCells(table, wire, (), impossible)
    return PublishedCells(table, wire, cells)


def _impossible(cell: Observation) -> str:
    """Why an engine cannot have measured a cell, a sentence; empty if it can."""
    asked = cell.setting
    reason = limit(asked.wire, asked.shape, asked.weights, asked.nodes)
    if reason is None:
        return ""
    cell_is_wrong = say(
        "{model} on {nodes} cannot be right", model=cell.model, nodes=nodes(asked.nodes)
    )
    return say("{cell_is_wrong}: {reason}.", cell_is_wrong=cell_is_wrong, reason=reason)


def _cells(table: Publication, wire: Wire) -> Iterable[Observation]:
    weights = _weights(table.weights)
    for row in table.timings:
        shape = shape_named(row.model)
        assert shape is not None  # noqa: S101 - `cells_of` let nothing else pass
        setting = Setting(
            shape=shape,
            weights=weights,
            nodes=row.nodes,
            wire=wire,
            exchanged=_exchanged(table.exchanged, weights),
            link_mbit=table.link_mbit,
            position=(table.samples or 0) / 2,
        )
        yield Observation(
            setting=setting,
            total_ms=row.total_ms,
            sync_ms=row.sync_ms,
            label=f"{row.model}, {row.nodes}",
            model=row.model,
        )


def _weights(name: str | None) -> Weights:
    return next((one for one in get_args(Weights) if one == name), USUAL_WEIGHTS)


def _exchanged(name: str | None, weights: Weights) -> Exchanged:
    known = (one for one in get_args(Exchanged) if one == name)
    return next(known, exchanged_with(weights))
