"""Which machines are fast alone, and which is the best root: cells that name their machines.

What is compared depends on the plan, never on a figure: every two machines alone, and every two
orders of the same machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from analysis.cells.cells import CellResult
from analysis.cells.family import Claim, Family
from analysis.cells.labels import FIRST_NODES, ON, named_by, users_at_once, varying_axes
from analysis.cells.scaling import DECODE, compare, places_of
from analysis.cells.series import Series
from analysis.text.sentence import say

ALONE, TOGETHER = "alone", "together"
"""Kinds of places: one machine, or several in an order."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Machines in an order.

    Attributes:
        name: what distinguishes it from the other places that it is compared with: the machine, the
            root, or all names where several orders have the same root.
    """

    cell: CellResult
    name: str

    @property
    def machines(self) -> str:
        """Their names, root first: `desk+pi1`."""
        return "+".join(self.cell.record.nodes)

    @property
    def root(self) -> str:
        """The machine that reads the model."""
        return self.cell.record.nodes[0]

    @property
    def is_measured(self) -> bool:
        """Its speed was measured."""
        return bool(self.cell.by_block(DECODE))

    @property
    def is_compared(self) -> bool:
        """Its speed may be compared: its GPU is none of software."""
        return self.is_measured and not self.cell.software


@dataclass(frozen=True)  # without slots: what was compared is found once
class Contest:
    """Places that were measured with all else equal: machines alone, or orders of the same.

    Attributes:
        kind: `ALONE` or `TOGETHER`.
        places: all, in the order of the plan.
        family: the comparisons of the report.
    """

    kind: str
    places: tuple[Contender, ...]
    family: Family

    @cached_property
    def compared(self) -> tuple[Contender, ...]:
        """Those whose speed was compared with that of another; if none was, all that may be."""
        tried = {place.name for place in self._comparable if self._is_tried(place)}
        return tuple(one for one in self._comparable if not tried or one.name in tried)

    @property
    def untried(self) -> tuple[Contender, ...]:
        """Those that may be compared, and share too few blocks with each of the others."""
        return tuple(place for place in self._comparable if place not in self.compared)

    @property
    def _comparable(self) -> tuple[Contender, ...]:
        return tuple(place for place in self.places if place.is_compared)

    def _is_tried(self, place: Contender) -> bool:
        found = (
            compare(place.cell, other.cell, self.family)
            for other in self._comparable
            if other is not place
        )
        return any(one is not None and one.is_tried for one in found)

    @property
    def is_of_roots(self) -> bool:
        """Each place has another root; otherwise some orders have the same."""
        return len({place.root for place in self.places}) == len(self.places)

    @property
    def fastest(self) -> tuple[Contender, ...]:
        """Those that were not found slower than another, the highest median first."""
        return tuple(sorted(self._without(Claim.SLOWER), key=_rate, reverse=True))

    @property
    def slowest(self) -> tuple[Contender, ...]:
        """Those that were not found faster than another, the lowest median first."""
        return tuple(sorted(self._without(Claim.FASTER), key=_rate))

    @property
    def is_even(self) -> bool:
        """Every two are the same speed, within what counts as the same."""
        found = {claim for one in self.compared for claim in self._claims(one)}
        return found == {Claim.SAME}

    def is_apart(self, place: Contender) -> bool:
        """Whether a place differs from every other, by the comparisons of the report."""
        return all(one in (Claim.FASTER, Claim.SLOWER) for one in self._claims(place))

    def _without(self, claim: Claim) -> tuple[Contender, ...]:
        return tuple(one for one in self.compared if claim not in set(self._claims(one)))

    def _claims(self, place: Contender) -> Iterator[Claim | None]:
        for other in self.compared:
            if other is not place:
                found = compare(place.cell, other.cell, self.family)
                yield found.finding if found else None


@dataclass(frozen=True, slots=True)
class Contests:
    """The places of machines with all else equal.

    Attributes:
        model: name of the model.
        weights: type of the weights.
        who: the engine, with what distinguishes it from others.
        contests: machines alone, then each set of machines that was measured in several orders.
        places: all others, such as a set in one order.
    """

    model: str
    weights: str
    who: str
    contests: tuple[Contest, ...]
    places: tuple[Contender, ...]

    @property
    def compared(self) -> tuple[Contender, ...]:
        """Every place whose speed may be compared."""
        every = (*(place for one in self.contests for place in one.places), *self.places)
        return tuple(place for place in every if place.is_compared)


def _rate(place: Contender) -> float:
    found = place.cell.estimate(DECODE)
    return found.value if found else 0.0


def contests_of(all_series: Sequence[Series], family: Family) -> tuple[Contests, ...]:
    """Return the contests of a run that names machines; none of another run.

    Args:
        all_series: those on nodes.
        family: the comparisons of the report.
    """
    # What one of several users gets is no speed of these machines together.
    groups = places_of([one for one in all_series if users_at_once(one.params) == 1])
    rests = [{k: v for k, v in group[0].params.items() if k != ON} for group in groups]
    varying = [a for a in varying_axes(rests) if a not in ("engine", "model", "weights")]
    found = []
    for group, rest in zip(groups, rests, strict=True):
        extra = named_by(rest, varying)
        engine = str(rest["engine"])
        contests = tuple(_contests(group, family))
        inside = {place.cell.record.cell_id for one in contests for place in one.places}
        others = (
            Contender(cell, "+".join(cell.record.nodes))
            for series in group
            if series.params[ON] != FIRST_NODES
            for cell in series.cells
            if cell.record.cell_id not in inside
        )
        found.append(
            Contests(
                model=group[0].model,
                weights=group[0].weights,
                who=say("{engine} ({extra})", engine=engine, extra=extra) if extra else engine,
                contests=contests,
                places=tuple(others),
            )
        )
    return tuple(found)


def _contests(group: Iterable[Series], family: Family) -> Iterator[Contest]:
    sets: dict[frozenset[str], list[CellResult]] = {}
    for cell in (cell for series in group for cell in series.cells if cell.record.nodes):
        key = frozenset() if cell.nodes == 1 else frozenset(cell.record.nodes)
        sets.setdefault(key, []).append(cell)
    for machines, cells in sorted(sets.items(), key=lambda one: len(one[0])):
        if len(cells) > 1:
            roots = {cell.record.nodes[0] for cell in cells}
            is_plain = len(roots) == len(cells)
            places = (
                Contender(cell, cell.record.nodes[0] if is_plain else "+".join(cell.record.nodes))
                for cell in cells
            )
            yield Contest(TOGETHER if machines else ALONE, tuple(places), family)
