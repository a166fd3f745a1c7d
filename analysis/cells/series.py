"""The series that the cells of a run form, and how one is named among the others.

A series is all cells that differ in nothing but the number of nodes. Cells that name their machines
(axis `on`) or divide them (axis `groups`) are a series each: other machines are no step on the way
to more nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from analysis.cells.cells import API_ENGINE, SOFTWARE_GPU, CellResult, Rest
from analysis.cells.labels import (
    FIRST_NODES,
    GROUPS,
    ON,
    in_words,
    named_by,
    users_at_once,
    varying_axes,
)
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import listing
from core.foreign import one_line
from core.record import Scalar


@dataclass(frozen=True, slots=True)
class Series:
    """Cells that differ only in the number of nodes, by that number.

    Attributes:
        params: axis to value, without `nodes`.
        label: names what distinguishes it from the run's other series; the engine if nothing does.
        panel_label: the same among the series of its model.
        whole_label: the same for what belongs to all of several deployments at once, not to one
            user, such as energy. It always says how many they are.
    """

    params: Mapping[str, Scalar]
    label: str
    panel_label: str
    whole_label: str
    cells: tuple[CellResult, ...]

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return str(self.params["engine"])

    @property
    def model(self) -> str:
        """Name of the model in the catalogue."""
        return one_line(str(self.params["model"]))

    @property
    def weights(self) -> str:
        """Type of the weights."""
        return str(self.params.get("weights", ""))

    @property
    def is_named(self) -> bool:
        """Its machines are named: it has one number of nodes, and was to have no other."""
        return self.params.get(ON, FIRST_NODES) != FIRST_NODES

    @property
    def is_of_one_number(self) -> bool:
        """Its machines are named, or divided: it was to have no other number of nodes."""
        return self.is_named or GROUPS in self.params

    @property
    def is_remote(self) -> bool:
        """It was asked over the Internet: no node of the cluster took part."""
        return self.engine == API_ENGINE

    @property
    def software(self) -> str:
        """How its GPU is called where some of its cells computed on a software one; else empty."""
        return _software(self.cells)

    @property
    def measured(self) -> tuple[CellResult, ...]:
        """Cells with at least one done trial."""
        return tuple(cell for cell in self.cells if cell.is_measured)

    def cell(self, nodes: int) -> CellResult | None:
        """The cell of that many nodes."""
        return next((cell for cell in self.cells if cell.nodes == nodes), None)


def series_of(cells: Iterable[CellResult]) -> tuple[Series, ...]:
    """The series of a run, in the order of their first cell."""
    groups: dict[Rest, list[CellResult]] = {}
    for cell in cells:
        key = tuple(sorted((k, v) for k, v in cell.record.params.items() if k != "nodes"))
        groups.setdefault(key, []).append(cell)
    all_params = [dict(key) for key in groups]
    varying = varying_axes(all_params)
    found = []
    for key, members in groups.items():
        params = dict(key)
        peers = [other for other in all_params if other.get("model") == params.get("model")]
        alike = [other for other in all_params if other.get("system") == params.get("system")]
        own, near = varying_axes(alike), varying_axes(peers)
        software = _software(members)
        found.append(
            Series(
                params=params,
                label=_label(params, varying, own, software),
                panel_label=_label(params, near, own, software),
                whole_label=_label(params, near, own, software, is_whole=True),
                cells=tuple(sorted(members, key=lambda cell: cell.nodes)),
            )
        )
    return tuple(found)


def _software(cells: Iterable[CellResult]) -> str:
    """How the GPU of some cells is called where it is software; empty where it is none."""
    measured = [cell for cell in cells if cell.is_measured]
    names = dict.fromkeys(name for cell in measured for name in cell.software)
    if not names:
        return ""
    if all(cell.software for cell in measured):
        return SOFTWARE_GPU
    return say("GPU (software on {found})", found=listing(list(names)))


def _label(
    params: Mapping[str, Scalar],
    axes: Collection[str],
    of_system: Collection[str],
    software: str,
    *,
    is_whole: bool = False,
) -> str:
    """Name a series: by values of axes, or by its system; the engine where there are none.

    Args:
        params: its axes.
        axes: those that distinguish it.
        of_system: those that distinguish it from others of its system.
        software: how its GPU is called where it is software.
        is_whole: as an owner of what belongs to all its deployments, whose number is then said.
    """
    system = str(params.get("system", ""))
    used = list(of_system if system else axes)
    if is_whole and users_at_once(params) > 1 and GROUPS not in used:
        used.append(GROUPS)
    engine = "" if system else str(params["engine"])
    rest = named_by(params, used, otherwise=engine, software=software, is_whole=is_whole)
    return one_line(f"{system}, {rest}" if system and rest else system or rest)


def constants(series: Iterable[Series]) -> str:
    """What all series of a run have in common, in words; then what those of an engine have."""
    all_params = [one.params for one in series]
    varying = varying_axes(all_params)
    everywhere = set.intersection(*(set(params) for params in all_params)) if all_params else set()
    by_engine: dict[str, dict[str, Scalar]] = {}
    for params in all_params:
        own = {axis: value for axis, value in params.items() if axis not in varying}
        held = by_engine.setdefault(str(params["engine"]), own)
        by_engine[str(params["engine"])] = {axis: v for axis, v in held.items() if axis in own}
    shared = {
        axis: value
        for own in by_engine.values()
        for axis, value in own.items()
        if axis in everywhere
    }
    parts = [_spelled(shared)]
    for engine, own in by_engine.items():
        rest = {axis: value for axis, value in own.items() if axis not in everywhere}
        parts.append(
            say("those of {engine} {spelled}", engine=engine, spelled=_spelled(rest))
            if rest
            else ""
        )
    return together((part for part in parts if part), "; ")


def _spelled(params: Mapping[str, Scalar]) -> str:
    first = [axis for axis in ("engine", "model", "weights") if axis in params]
    rest = sorted(params.keys() - set(first))
    return together((in_words(axis, params[axis]) for axis in (*first, *rest)), ", ")


def subject(
    series: Series,
    all_series: Iterable[Series],
    *,
    with_model: bool = True,
    without: Collection[str] = (),
) -> Sentence:
    """`for stories15m (f32) with distributed-llama (net-turbo off)`, or from `with` on.

    Args:
        series: to be named.
        all_series: what it is distinguished from.
        with_model: name its model, too.
        without: axes that need no name here.
    """
    engine = engine_named(series, all_series, without)
    if not with_model:
        return say("with {engine}", engine=engine)
    return say("for {model} with {engine}", model=_model_named(series), engine=engine)


def engine_named(
    series: Series, all_series: Iterable[Series], without: Collection[str] = ()
) -> Sentence:
    """`distributed-llama (net-turbo off)`: the engine, and what else distinguishes a series."""
    varying = varying_axes(other.params for other in all_series)
    rest = [axis for axis in varying if axis not in ("engine", "model", "weights", *without)]
    extra = named_by(series.params, rest, software=series.software)
    if not extra:
        return say("{engine}", engine=series.engine)
    return say("{engine} ({extra})", engine=series.engine, extra=extra)


def _model_named(series: Series) -> str:
    return f"{series.model} ({series.weights})" if series.weights else series.model


def thing(series: Series, all_series: Iterable[Series]) -> Sentence:
    """`stories15m (f32) with distributed-llama (net-turbo off)`."""
    engine = engine_named(series, all_series)
    return say("{model} with {engine}", model=_model_named(series), engine=engine)
