"""Ways to use machines: each alone, several together, several deployments at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.cells.cells import CellResult, Rest
from analysis.cells.divisions import OVERLAP, all_by_block
from analysis.cells.family import Pair, Side
from analysis.cells.labels import GROUPS, ON, users_at_once
from analysis.cells.scaling import DECODE, SPEED
from analysis.cells.series import Series
from analysis.statistics.stats import Estimate, estimate, paired_ratio
from analysis.text.sentence import say
from analysis.text.wording import listing
from core.record import Scalar

TIME, PREFILL = "decode_ms_per_token", "prompt_ms"
SUM, ALL = "{names}, each alone, in sum", "all users of {name}"


@dataclass(frozen=True, slots=True)
class Option:
    """Machines that serve one user, or with the axis `groups` several.

    Attributes:
        users: who is served at once.
    """

    cell: CellResult
    users: int = 1

    @property
    def machines(self) -> tuple[str, ...]:
        """Their names, root first."""
        return self.cell.record.nodes

    @property
    def name(self) -> str:
        """`desk+pi1`, or with `groups` `desk+pi1+pi2+pi3 as 2x2`."""
        names = "+".join(self.machines)
        return (
            say("{names} as {params}", names=names, params=self.cell.record.params[GROUPS])
            if self.users > 1
            else names
        )

    def is_at_once_beside(self, other: Option) -> bool:
        """It serves several users, and the other one user with the same machines.

        Two ways to divide the same nodes (axis `groups`) are compared as such.
        """
        is_same = set(self.machines) == set(other.machines)
        is_division = GROUPS in other.cell.record.params
        return is_same and self.users > 1 == other.users and not is_division

    @property
    def is_measured(self) -> bool:
        """Its speed was measured, and may be compared: its GPU is none of software."""
        return bool(self.cell.by_block(DECODE)) and not self.cell.software

    @property
    def key(self) -> str:
        """Identifies the tokens/s of all its users among the sides of comparisons."""
        cell_id = self.cell.record.cell_id
        return say("all users of {cell_id}", cell_id=cell_id) if self.users > 1 else cell_id

    @property
    def all_by_block(self) -> Mapping[int, float]:
        """Block to the tokens/s of all its users."""
        return all_by_block(self.cell)

    @property
    def all(self) -> Estimate | None:
        """Tokens/s of all its users; None if they were not at work at once."""
        found = estimate(list(self.all_by_block.values()), of_rates=True)
        return found if self.is_measured else None

    @property
    def one(self) -> Estimate | None:
        """Tokens/s of one of its users: with several, of the one in the middle."""
        return self.cell.estimate(DECODE) if self.is_measured else None

    @property
    def overlap(self) -> Estimate | None:
        """Share of the time in which all its users were served; None for one user."""
        return self.cell.estimate(OVERLAP) if self.users > 1 else None

    @property
    def first_token_s(self) -> Estimate | None:
        """Seconds until a user sees the first token: prefill of the prompt, and one token.

        None where the engine does not report prefill, and with several users at once.
        """
        prefill, token = self.cell.by_block(PREFILL), self.cell.by_block(TIME)
        if self.users > 1 or not self.is_measured:
            return None
        return estimate([(prefill[b] + token[b]) / 1000 for b in prefill if b in token])


def sum_key(machines: Iterable[Option]) -> str:
    """The key of a sum among the sides of comparisons."""
    return "+".join(sorted(one.cell.record.cell_id for one in machines))


@dataclass(frozen=True, slots=True)
class Ways:
    """Series that differ only in their machines and in how these are used."""

    params: Mapping[str, Scalar]
    series: tuple[Series, ...]

    @property
    def cells(self) -> list[CellResult]:
        """All, those on the fewest nodes first."""
        cells = (cell for series in self.series for cell in series.cells if cell.record.nodes)
        return sorted(cells, key=lambda cell: cell.nodes)

    @property
    def alone(self) -> dict[str, Option]:
        """Machine to its cell."""
        return {
            cell.record.nodes[0]: Option(cell) for cell in self.cells if len(cell.record.nodes) == 1
        }

    @property
    def options(self) -> list[Option]:
        """Several machines together, then several deployments at once."""
        found = [
            Option(cell, users_at_once(cell.record.params))
            for cell in self.cells
            if len(cell.record.nodes) > 1
        ]
        return sorted(found, key=lambda one: one.users > 1)


def ways_of(all_series: Iterable[Series]) -> list[Ways]:
    """Those of a run in which several machines were to be measured alone, or several at once."""
    found: dict[Rest, list[Series]] = {}
    for series in all_series:
        rest = {axis: v for axis, v in series.params.items() if axis not in (ON, GROUPS)}
        found.setdefault(tuple(sorted(rest.items())), []).append(series)
    groups = [Ways(dict(rest), tuple(own)) for rest, own in found.items()]
    return [one for one in groups if one.options and (len(one.alone) > 1 or _at_once(one))]


def _at_once(group: Ways) -> bool:
    return any(one.users > 1 for one in group.options)


def together_pairs(all_series: Iterable[Series]) -> tuple[Pair, ...]:
    """Compare machines apart with the same ones together; it depends on what was planned and done.

    Args:
        all_series: those on nodes.
    """
    return tuple(pair for group in ways_of(all_series) for pair in _pairs(group))


def _pairs(group: Ways) -> Iterator[Pair]:
    measured = [one for one in group.options if one.all]
    for option in measured:
        if (machines := measured_alone(option, group.alone)) is not None:
            names = listing([one.name for one in machines])
            side = Side(sum_key(machines), SUM.format(names=names))
            yield _pair(side, block_sums(machines), option)
        for other in measured:
            if option.is_at_once_beside(other):
                side = Side(option.key, ALL.format(name=option.name))
                yield _pair(side, option.all_by_block, other)


def _pair(side: Side, speeds: Mapping[int, float], option: Option) -> Pair:
    ratio = paired_ratio(speeds, option.all_by_block)
    name = ALL.format(name=option.name) if option.users > 1 else option.name
    blocks = len(ratio.blocks) if ratio else 0
    return Pair(SPEED, side, Side(option.key, name), blocks, ratio)


def measured_alone(option: Option, alone: Mapping[str, Option]) -> tuple[Option, ...] | None:
    """The machines of a cell that run the model alone; None if of some that is not known yet."""
    own = [alone.get(name) for name in option.machines]
    known = [one for one in own if one and (one.is_measured or one.cell.record.unavailable)]
    able = tuple(one for one in known if one.is_measured)
    return able if able and len(known) == len(own) else None


def block_sums(machines: Sequence[Option]) -> dict[int, float]:
    """Block to the sum of tokens/s, in blocks that hold a trial of each machine."""
    own = [one.cell.by_block(DECODE) for one in machines]
    blocks = set.intersection(*(set(one) for one in own))
    return {block: sum(one[block] for one in own) for block in sorted(blocks)}
