"""Together or apart: machines that share a model, against each with its own user.

A sum of the cells of single machines was never measured at once. The section says so, and where
the axis `groups` measured several deployments at once, that figure is shown instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.cells.cells import CellResult, Series
from analysis.cells.family import Claim, Compared, Family, Pair, Side
from analysis.cells.labels import ON, named_by, varying_axes
from analysis.cells.scaling import DECODE, SPEED, compare, is_unbeaten
from analysis.model.draws import Floats, times_of
from analysis.statistics.stats import FEWEST, LEVEL, Estimate, estimate, paired_ratio
from analysis.text.wording import listing
from collect.run import Scalar

GROUPS = "groups"
"""Axis of cells that measure several deployments at once: `2x2` is two of two nodes each."""
TIME, PREFILL = "decode_ms_per_token", "prompt_ms"
OF_ALL, OVERLAP = "sum_tokens_per_s", "all_overlap"
"""Columns of cells that measure several deployments at once: the sum of the speeds of all, each
over its own time, and the share of the time in which all were at work."""
ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
SUM, ALL = "{names}, each alone, in sum", "all users of {name}"
Rest = tuple[tuple[str, Scalar], ...]


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
        return f"{names} as {self.cell.record.params[GROUPS]}" if self.users > 1 else names

    @property
    def is_measured(self) -> bool:
        """Its speed was measured, and may be compared: its GPU is none of software."""
        return bool(self.cell.by_block(DECODE)) and not self.cell.software

    @property
    def key(self) -> str:
        """Identifies the tokens/s of all its users among the sides of comparisons."""
        cell_id = self.cell.record.cell_id
        return f"all users of {cell_id}" if self.users > 1 else cell_id

    @property
    def all_by_block(self) -> Mapping[int, float]:
        """Block to the tokens/s of all its users."""
        return self.cell.by_block(OF_ALL if self.users > 1 else DECODE)

    @property
    def all(self) -> Estimate | None:
        """Tokens/s of all its users."""
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


@dataclass(frozen=True, slots=True)
class Crossing:
    """From how many users on machines apart make more tokens/s than together.

    Attributes:
        value: users; one more than there are machines: never with these machines.
        low: lower end of the 95 % interval.
        high: its upper end.
    """

    value: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class MachinesApart:
    """Machines that serve a user each.

    Attributes:
        machines: those that can run the model alone, in the order of the cell together.
        lacking: those that cannot: they serve no one.
        total: tokens/s of all, the sum of cells that were measured one at a time.
    """

    machines: tuple[Option, ...]
    lacking: tuple[Option, ...]
    total: Estimate

    @property
    def key(self) -> str:
        """Identifies it among the sides of comparisons."""
        return sum_key(self.machines)

    @property
    def speeds(self) -> list[float]:
        """Tokens/s of each user, fastest first."""
        return sorted((one.all.value for one in self.machines if one.all), reverse=True)


@dataclass(frozen=True, slots=True)
class Match:
    """The same machines together and apart.

    Attributes:
        against: the tokens/s of all of them apart, compared with those together; None where the
            report makes no such comparison.
        crossing: None with fewer than six blocks.
    """

    option: Option
    apart: MachinesApart
    against: Compared | None
    crossing: Crossing | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The ways to use machines for a model, with all else equal.

    Attributes:
        who: the engine, with what distinguishes it from others of the run.
        alone: every machine that was to be measured alone, measured or not.
        options: machines together, fewest first; those of `groups` last.
        matches: those that can be compared with the same machines apart.
        unbeaten: the measured ways to serve one user that no comparison found slower than another
            way; empty where they were not compared.
    """

    model: str
    weights: str
    who: str
    alone: tuple[Option, ...]
    options: tuple[Option, ...]
    matches: tuple[Match, ...]
    unbeaten: tuple[Option, ...]

    @property
    def together(self) -> tuple[Option, ...]:
        """The ways in which several machines serve one user and were measured."""
        return tuple(one for one in self.options if one.users == 1 and one.is_measured)

    @property
    def able(self) -> tuple[Option, ...]:
        """The machines that were measured alone."""
        return tuple(one for one in self.alone if one.is_measured)

    @property
    def unable(self) -> tuple[Option, ...]:
        """The machines that cannot run the model alone."""
        return tuple(one for one in self.alone if one.cell.record.unavailable)


def sum_key(machines: Iterable[Option]) -> str:
    """The key of a sum among the sides of comparisons."""
    return "+".join(sorted(one.cell.record.cell_id for one in machines))


@dataclass(frozen=True, slots=True)
class _Group:
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
        found = [Option(cell, users_of(cell)) for cell in self.cells if len(cell.record.nodes) > 1]
        return sorted(found, key=lambda one: one.users > 1)


def users_of(cell: CellResult) -> int:
    """How many deployments of a cell run at once."""
    return int(str(cell.record.params.get(GROUPS, "1x1")).partition("x")[0])


def _groups(all_series: Iterable[Series]) -> list[_Group]:
    """Those of a run in which several machines were to be measured alone, or several at once."""
    found: dict[Rest, list[Series]] = {}
    for series in all_series:
        rest = {axis: v for axis, v in series.params.items() if axis not in (ON, GROUPS)}
        found.setdefault(tuple(sorted(rest.items())), []).append(series)
    groups = [_Group(dict(rest), tuple(own)) for rest, own in found.items()]
    return [one for one in groups if one.options and (len(one.alone) > 1 or _at_once(one))]


def _at_once(group: _Group) -> bool:
    return any(one.users > 1 for one in group.options)


def together_pairs(all_series: Iterable[Series]) -> tuple[Pair, ...]:
    """Compare machines apart with the same ones together; it depends on what was planned and done.

    Args:
        all_series: those on nodes.
    """
    return tuple(pair for group in _groups(all_series) for pair in _pairs(group))


def _pairs(group: _Group) -> Iterator[Pair]:
    measured = [one for one in group.options if one.is_measured]
    for option in measured:
        if (machines := _measured_alone(option, group.alone)) is not None:
            names = listing([one.name for one in machines])
            side = Side(sum_key(machines), SUM.format(names=names))
            yield _pair(side, _block_sums(machines), option)
        for other in measured:
            if option.users > 1 == other.users and set(option.machines) == set(other.machines):
                side = Side(option.key, ALL.format(name=option.name))
                yield _pair(side, option.all_by_block, other)


def _pair(side: Side, speeds: Mapping[int, float], option: Option) -> Pair:
    ratio = paired_ratio(speeds, option.all_by_block)
    name = ALL.format(name=option.name) if option.users > 1 else option.name
    blocks = len(ratio.blocks) if ratio else 0
    return Pair(SPEED, side, Side(option.key, name), blocks, ratio)


def _measured_alone(option: Option, alone: Mapping[str, Option]) -> tuple[Option, ...] | None:
    """The machines of a cell that run the model alone; None if of some that is not known yet."""
    own = [alone.get(name) for name in option.machines]
    known = [one for one in own if one and (one.is_measured or one.cell.record.unavailable)]
    able = tuple(one for one in known if one.is_measured)
    return able if able and len(known) == len(own) else None


def _block_sums(machines: Sequence[Option]) -> dict[int, float]:
    """Block to the sum of tokens/s, in blocks that hold a trial of each machine."""
    own = [one.cell.by_block(DECODE) for one in machines]
    blocks = set.intersection(*(set(one) for one in own))
    return {block: sum(one[block] for one in own) for block in sorted(blocks)}


def choices_of(all_series: Sequence[Series], family: Family) -> tuple[Choice, ...]:
    """Find the ways to use machines, with what was found about them.

    Args:
        all_series: those on nodes.
        family: the comparisons of the report.
    """
    groups = _groups(all_series)
    varying = [
        axis
        for axis in varying_axes(group.params for group in groups)
        if axis not in ("engine", "model", "weights")
    ]
    return tuple(_choice(group, family, varying) for group in groups)


def _choice(group: _Group, family: Family, varying: Sequence[str]) -> Choice:
    first, extra = group.series[0], named_by(group.params, varying)
    alone, options = group.alone, tuple(group.options)
    return Choice(
        model=first.model,
        weights=first.weights,
        who=f"{first.engine} ({extra})" if extra else first.engine,
        alone=tuple(alone.values()),
        options=options,
        matches=tuple(_matches(options, alone, family)),
        unbeaten=_unbeaten([*alone.values(), *options], family),
    )


def _unbeaten(ways: Iterable[Option], family: Family) -> tuple[Option, ...]:
    """Those for one user that no comparison found slower; none if some were not compared."""
    measured = [one for one in ways if one.users == 1 and one.is_measured]
    cells = [one.cell for one in measured]
    left = [one for one in measured if is_unbeaten(one.cell, cells, family)]
    for place, one in enumerate(left):
        for other in left[place + 1 :]:
            found = compare(one.cell, other.cell, family)
            if found is None or not found.is_tried:
                return ()
    return tuple(left)


def _matches(
    options: Iterable[Option], alone: Mapping[str, Option], family: Family
) -> Iterator[Match]:
    for option in options:
        machines = _measured_alone(option, alone) if option.is_measured else None
        if machines is None:
            continue
        own = [alone[name] for name in option.machines]
        lacking = tuple(one for one in own if one not in machines)
        total, crossing = _total(machines, option)
        if total is not None:
            key = sum_key(machines)
            found = family.find(SPEED, key, option.key)
            yield Match(option, MachinesApart(machines, lacking, total), found, crossing)


def _total(machines: Sequence[Option], option: Option) -> tuple[Estimate | None, Crossing | None]:
    """The sum of tokens/s with its interval, and from how many users on it pays."""
    sums = tuple(_block_sums(machines).values())
    if min(len(one.all_by_block) for one in (*machines, option)) < FEWEST:
        return estimate(sums, of_rates=True), None
    cells = [*(one.cell for one in machines), option.cell]
    medians = np.array([one.value for cell in cells if (one := cell.estimate(DECODE))])
    times = times_of({place: cell.by_block(DECODE) for place, cell in enumerate(cells)})
    drawn = medians * np.exp(times.distances(1, level=LEVEL))
    low, high = np.quantile(drawn[:, :-1].sum(axis=1), ENDS)
    value = float(medians[:-1].sum())
    total = Estimate(value, float(low), float(high), sums or (value,), LEVEL)
    return total, None if option.users > 1 else _crossing(medians, drawn)


def _crossing(medians: Floats, drawn: Floats) -> Crossing:
    """From how many users the fastest machines apart make more than all together (the last)."""
    value = int(_users(medians[None, :])[0])
    low, high = np.quantile(_users(drawn), ENDS, method="inverted_cdf")
    return Crossing(value, int(low), int(high))


def _users(speeds: Floats) -> Floats:
    alone = -np.sort(-speeds[:, :-1], axis=1)
    more = np.cumsum(alone, axis=1) > speeds[:, -1:]
    never = more.shape[1] + 1
    found: Floats = np.where(more.any(axis=1), more.argmax(axis=1) + 1, never)
    return found


def claim_of(choice: Choice, family: Family) -> tuple[Claim, Option | None]:
    """Whether together is faster for one user, and which way the finding names.

    FASTER needs machines together that were found faster than each machine alone, SLOWER a machine
    that was found faster alone than all of them together.

    Args:
        choice: the ways to use machines.
        family: the comparisons of the report.
    """
    sides = (
        (Claim.FASTER, choice.together, choice.able),
        (Claim.SLOWER, choice.able, choice.together),
    )
    for claim, ones, others in sides:
        for one in sorted(ones, key=lambda one: -_median(one)):
            if others and all(_is(Claim.FASTER, one, other, family) for other in others):
                return claim, one
    pairs = [
        (one, other) for one in choice.unbeaten for other in choice.unbeaten if one is not other
    ]
    if pairs and all(_is(Claim.SAME, *pair, family) for pair in pairs):
        return Claim.SAME, None
    return Claim.UNKNOWN, None


def _is(claim: Claim, one: Option, other: Option, family: Family) -> bool:
    found = compare(one.cell, other.cell, family)
    return found is not None and found.finding is claim


def _median(one: Option) -> float:
    return one.all.value if one.all else 0.0
