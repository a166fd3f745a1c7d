"""What each set of machines makes: a GPU alone, with more machines, and these without it.

A setup is all cells that differ only in their number of nodes, in their device and in the group of
machines that they take. Each cell is compared with the base, and with the next smaller one of its
series. This depends on the plan, never on a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.cells.cells import CellResult
from analysis.cells.family import Compared, Family
from analysis.cells.labels import DEVICE, named_by, varying_axes
from analysis.cells.machines import Machines
from analysis.cells.scaling import DECODE, base_of, compare, setups_of, shared_params
from analysis.cells.series import Series
from analysis.text.sentence import say
from core.record import Scalar


@dataclass(frozen=True, slots=True)
class Addition:
    """A set of machines.

    Attributes:
        machines: it in words: `desk (GPU) + 1 Raspberry Pi`.
        added: the machines that the next smaller one of its series lacks, in words; empty where
            there is none.
        added_to_base: those that the base lacks, if it has all machines of the base as they are
            there; else empty.
        against_before: the comparison with that smaller one; None where there is none.
        against_base: that with the base; None for the base itself, and where none is made.
    """

    series: Series
    cell: CellResult
    machines: str
    added: str
    added_to_base: str
    against_before: Compared | None
    against_base: Compared | None


@dataclass(frozen=True, slots=True)
class Setup:
    """The sets of machines that were compared with all else equal.

    Attributes:
        params: axis to value, of those that all its cells share.
        label: names what distinguishes it from other setups; the engine if nothing does.
        who: the engine, with what else distinguishes it from other setups of a model.
        base: what the others are compared with: the GPU on the fewest machines, else the first
            machines; None where nothing may be compared.
        additions: all sets, those with the base's device and group first, in the order of nodes.
    """

    params: Mapping[str, Scalar]
    label: str
    who: str
    base: Addition | None
    additions: tuple[Addition, ...]

    @property
    def is_on_gpu(self) -> bool:
        """The base computes on a GPU."""
        return self.base is not None and bool(self.base.cell.gpus)

    @property
    def measured(self) -> tuple[Addition, ...]:
        """Those whose speed was measured."""
        return tuple(one for one in self.additions if one.cell.by_block(DECODE))

    @property
    def comparable(self) -> tuple[Addition, ...]:
        """Those of them that may be compared."""
        return tuple(one for one in self.measured if not one.cell.software)

    @property
    def software(self) -> tuple[Addition, ...]:
        """The others: their GPU is software."""
        return tuple(one for one in self.measured if one.cell.software)


def additions_of(
    all_series: Sequence[Series], family: Family, machines: Machines
) -> tuple[Setup, ...]:
    """The setups of a run that have several kinds of machines or devices; none of another run.

    Args:
        all_series: those on nodes.
        family: the comparisons of the report.
        machines: what is known of them.
    """
    groups = setups_of(all_series)
    all_params = [shared_params(group[0]) for group in groups]
    varying = varying_axes(all_params)
    found = []
    for group, params in zip(groups, all_params, strict=True):
        cells = [cell for series in group for cell in series.cells if cell.by_block(DECODE)]
        names = {name for cell in cells for name in cell.record.nodes}
        is_mixed = len(group) > 1 or machines.kinds(names) > 1
        if len(cells) <= 1 or not is_mixed:
            continue
        base = base_of(group)
        made = tuple(_additions(group, base, family, machines))
        engine, rest = str(params["engine"]), set(varying) - {"engine", "model", "weights"}
        extra = named_by(params, [axis for axis in varying if axis in rest])
        found.append(
            Setup(
                params=params,
                label=named_by(params, varying, otherwise=engine),
                who=say("{engine} ({extra})", engine=engine, extra=extra) if extra else engine,
                base=next((one for one in made if one.cell is base), None),
                additions=made,
            )
        )
    return tuple(found)


def _additions(
    group: Iterable[Series], base: CellResult | None, family: Family, machines: Machines
) -> Iterator[Addition]:
    for series in group:
        before: CellResult | None = None
        for cell in series.cells:
            beyond = _beyond(cell, before)
            over_base = _beyond(cell, base)
            yield Addition(
                series=series,
                cell=cell,
                machines=machines.in_words(cell),
                added=machines.added(beyond, cell) if beyond else "",
                added_to_base=machines.added(over_base, cell) if over_base else "",
                against_before=compare(cell, before, family) if before else None,
                against_base=compare(cell, base, family) if base else None,
            )
            before = cell if cell.by_block(DECODE) else before


def _beyond(cell: CellResult, other: CellResult | None) -> tuple[str, ...]:
    """The machines of a cell that another lacks, if it has all of the other's as they are there."""
    if other is None or cell.record.params.get(DEVICE) != other.record.params.get(DEVICE):
        return ()
    names, fewer = cell.record.nodes, set(other.record.nodes)
    return tuple(name for name in names if name not in fewer) if fewer < set(names) else ()
