"""Together or apart: machines that share a model, against each with its own user.

A sum of the cells of single machines was never measured at once. The section says so, and where
the axis `groups` measured several deployments at once, that figure is shown instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.cells.family import Claim, Compared, Family
from analysis.cells.labels import GROUPS, named_by, varying_axes
from analysis.cells.scaling import DECODE, SPEED, compare, is_unbeaten
from analysis.cells.series import Series
from analysis.model.draws import Floats, times_of
from analysis.model.ways import Option, Ways, block_sums, measured_alone, sum_key, ways_of
from analysis.statistics.stats import FEWEST, LEVEL, Estimate, estimate
from analysis.text.sentence import say

ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


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
    def missing(self) -> tuple[Option, ...]:
        """The ways to serve one user that were to be measured, could be, and were not."""
        ways = (one for one in (*self.alone, *self.options) if one.users == 1)
        return tuple(one for one in ways if not one.is_measured and not one.cell.record.unavailable)

    @property
    def is_divided(self) -> bool:
        """Every way with several machines is a division of the same nodes (axis `groups`)."""
        return all(GROUPS in one.cell.record.params for one in self.options)

    @property
    def unable(self) -> tuple[Option, ...]:
        """The machines that cannot run the model alone."""
        return tuple(one for one in self.alone if one.cell.record.unavailable)


def choices_of(all_series: Sequence[Series], family: Family) -> tuple[Choice, ...]:
    """Find the ways to use machines, with what was found about them.

    Args:
        all_series: those on nodes.
        family: the comparisons of the report.
    """
    groups = ways_of(all_series)
    varying = [
        axis
        for axis in varying_axes(group.params for group in groups)
        if axis not in ("engine", "model", "weights")
    ]
    return tuple(_choice(group, family, varying) for group in groups)


def _choice(group: Ways, family: Family, varying: Sequence[str]) -> Choice:
    first, extra = group.series[0], named_by(group.params, varying)
    alone, options = group.alone, tuple(group.options)
    return Choice(
        model=first.model,
        weights=first.weights,
        who=say("{engine} ({extra})", engine=first.engine, extra=extra) if extra else first.engine,
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
        machines = measured_alone(option, alone) if option.all else None
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
    sums = tuple(block_sums(machines).values())
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
        for one in sorted(ones, key=lambda one: -speed_of(one)):
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


def speed_of(one: Option) -> float:
    """Median tokens/s of all users of a way; 0 without any."""
    return one.all.value if one.all else 0.0
