"""What would help an engine with a model, and by how much: found, bounded or calculated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from analysis.cells.additions import Setup
from analysis.cells.cells import LINK_DELAY, LINK_RATE, CellResult, link_of
from analysis.cells.family import Claim, Compared, Family
from analysis.cells.labels import DEVICE, GROUP, in_words, link_in_words
from analysis.cells.sync import sync_share
from analysis.limits.assessment import Assessment, Kind, Source
from analysis.limits.combinations import Combination
from analysis.limits.gains import faster, gain, times
from analysis.limits.machines import machines_to_change
from analysis.network.servers import rows_of_series, spans_by_speed
from analysis.text.sentence import say
from analysis.text.wording import nodes
from core.record import Scalar

NOT_SETTINGS = frozenset(
    {
        "engine", "model", "weights", "nodes", "system", "part", "arm", "on", "groups", "adapter",
        "prompt_tokens", "generate_tokens", DEVICE, GROUP, LINK_RATE, LINK_DELAY,
    }
)  # fmt: skip
"""Axes that are not settings of an engine: they say what is asked, and which machines take part."""


def improvements_of(
    combination: Combination,
    others: Sequence[Combination],
    setups: Iterable[Setup],
    family: Family,
    chain: pd.DataFrame,
    limits: Iterable[Assessment],
) -> Iterator[Assessment]:
    """Find what would help.

    Args:
        combination: an engine with a model.
        others: the combinations of the run.
        setups: sets of machines that were compared.
        family: every comparison of the report: nothing else is called faster.
        chain: `chain_times` of the run.
        limits: what was found to limit this combination.
    """
    yield from list(_machines(combination, setups)) or _fewer_nodes(combination, family)
    yield from machines_to_change(combination, family)
    yield from _settings(combination, family)
    yield from _engine(combination, others, family)
    yield from _links(combination, family)
    yield from _spans(combination, chain)
    yield from _no_waiting(combination)
    for limit in limits:
        if limit.what == "throttling":
            yield _advice(combination, "cooling", limit)
        if limit.what == "memory":
            yield _advice(combination, "less memory", limit)


def _advice(combination: Combination, what: str, limit: Assessment) -> Assessment:
    return Assessment(
        combination.engine,
        combination.model,
        Kind.IMPROVEMENT,
        what,
        limit.subject,
        source=Source.NOT_MEASURED,
        where=limit.where,
    )


def _fewer_nodes(combination: Combination, family: Family) -> Iterator[Assessment]:
    """The best number of nodes instead of the largest, where that is slower."""
    if combination.best is None:
        return
    scaling, best = combination.best
    last = scaling.points[-1].cell
    if last is best.cell:
        return
    if found := faster(best.cell, last, family):
        names = combination.setting(best.cell), combination.setting(last)
        yield from gain(combination, "nodes", found, names, "scaling")


def _settings(combination: Combination, family: Family) -> Iterator[Assessment]:
    """For each axis the two values that differ most with all else equal."""
    largest: dict[str, tuple[Compared, CellResult, CellResult]] = {}
    measured = [
        cell for scaling in combination.scalings for cell in (p.cell for p in scaling.points)
    ]
    for one, other in itertools.permutations(measured, 2):
        axis = _only_difference(one.record.params, other.record.params)
        if axis is None or not (found := faster(one, other, family)):
            continue
        held = largest.get(axis)
        if held is None or times(found) > times(held[0]):
            largest[axis] = (found, one, other)
    for axis, (found, one, other) in largest.items():
        subject, instead = (in_words(axis, cell.record.params[axis]) for cell in (one, other))
        at = say("{instead} on {nodes}", instead=instead, nodes=nodes(other.nodes))
        yield from gain(combination, "setting", found, (subject, at), "decode")


def _only_difference(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> str | None:
    """The only axis in which two cells differ, if it is a setting."""
    axes = [axis for axis in one.keys() | other.keys() if one.get(axis) != other.get(axis)]
    if len(axes) != 1 or axes[0] in NOT_SETTINGS or not {*axes} <= one.keys() & other.keys():
        return None
    return axes[0]


def _engine(
    combination: Combination, others: Sequence[Combination], family: Family
) -> Iterator[Assessment]:
    """The other engine that is faster for the same model, each at its best."""
    if combination.best is None:
        return
    own = combination.best[1].cell
    rivals = [
        (one, one.best[1].cell)
        for one in others
        if one.model == combination.model and one.engine != combination.engine and one.best
    ]
    found = [(one, cell, said) for one, cell in rivals if (said := faster(cell, own, family))]
    if found:
        rival, cell, said = max(found, key=lambda one: times(one[2]))
        subject = say("{engine} on {setting}", engine=rival.engine, setting=rival.setting(cell))
        names = (
            subject,
            say(
                "{engine} on {setting}", engine=combination.engine, setting=combination.setting(own)
            ),
        )
        yield from gain(combination, "engine", said, names, "decode")


def _machines(combination: Combination, setups: Iterable[Setup]) -> Iterator[Assessment]:
    """The base of a setup without the machines that make it slower."""
    ids = {cell.record.cell_id for cell in combination.cells}
    for setup in setups:
        if setup.base is None or setup.base.cell.record.cell_id not in ids:
            continue
        slower = [
            (one, found.turned())
            for one in setup.comparable
            if one.added_to_base and (found := one.against_base) and found.finding is Claim.SLOWER
        ]
        if slower:
            worst, found = max(slower, key=lambda pair: times(pair[1]))
            names = setup.base.machines, worst.machines
            yield from gain(combination, "machines", found, names, "additions")


def _links(combination: Combination, family: Family) -> Iterator[Assessment]:
    """The fastest link of a cell instead of the slowest that was measured."""
    by_rest: dict[object, list[CellResult]] = {}
    for cell in (point.cell for scaling in combination.scalings for point in scaling.points):
        rest, link = link_of(cell)
        if link is not None:
            by_rest.setdefault(rest, []).append(cell)
    gains = []
    for cells in by_rest.values():
        fastest, *slower = sorted(cells, key=lambda cell: link_of(cell)[1] or (0, 0.0))
        gains += [(said, fastest, o) for o in slower if (said := faster(fastest, o, family))]
    if gains:
        found, fastest, slowest = max(gains, key=lambda one: times(one[0]))
        names = (
            _link(fastest),
            say("{link} on {nodes}", link=_link(slowest), nodes=nodes(slowest.nodes)),
        )
        yield from gain(combination, "link", found, names, "links")


def _link(cell: CellResult) -> str:
    params = cell.record.params
    return link_in_words(int(params.get(LINK_RATE, 0)), int(params.get(LINK_DELAY, 0)))


def _spans(combination: Combination, chain: pd.DataFrame) -> Iterator[Assessment]:
    """Layers shared by the measured speed of each server, where the chain would be faster."""
    times = rows_of_series(chain, combination.series)
    if times.empty:
        return
    for _, own in times.groupby(["model", "series", "nodes"], sort=False):
        advised = spans_by_speed(own)
        servers = own[own["layers"].notna()]
        layers = [int(count) for count in servers["layers"]]
        for spans in advised.values():
            shared = [int(count) for count in spans.split("-")]
            ms = [float(one) for one in servers["ms"]]
            now = float(own["ms"].sum())
            then = now + sum(m * (s / o - 1) for m, s, o in zip(ms, shared, layers, strict=True))
            if then < now:
                yield Assessment(
                    combination.engine,
                    combination.model,
                    Kind.IMPROVEMENT,
                    "spans",
                    spans,
                    other=say(
                        "{division} on {nodes}",
                        division="-".join(map(str, layers)),
                        nodes=nodes(len(layers)),
                    ),
                    value=now / then,
                    n=int(servers["trials"].min()),
                    source=Source.CALCULATED,
                    where="time",
                )


def _no_waiting(combination: Combination) -> Iterator[Assessment]:
    """What a faster network could gain at most: all that is spent waiting now."""
    cell = combination.shared
    share = sync_share(cell) if cell is not None and not cell.on_quota else None
    if cell is not None and share is not None and share.is_known and 0 < share.high < 1:
        yield Assessment(
            combination.engine,
            combination.model,
            Kind.IMPROVEMENT,
            "no waiting",
            combination.setting(cell),
            value=1 / (1 - share.high),
            n=len(cell.by_block("sync_ms_per_token")),
            source=Source.BOUND,
            where="time",
        )
