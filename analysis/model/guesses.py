"""How fast a machine of the catalogue is believed to go through weights, before it is measured.

A guess is the first belief of the cost model about a machine that no one here has. It comes with
the error that such guesses had for machines whose token rate is known, each guessed from the
others.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.model.machines import CLASS_W, KnownMachine, MachineCatalogue, load_machines
from core.errors import HerdError

SAME_PROCESSOR = 0.1
"""Standard deviation of the logarithm of token rates of machines with one processor: of the four
with a BCM2712 it is 0.09."""
FEWEST = 5
"""Machines with a known token rate from which others may be guessed."""


@dataclass(frozen=True, slots=True)
class Guess:
    """How fast a machine goes through weights of 4 bits while it generates, alone.

    With the program of the yardstick: another engine may need half as long again.

    Attributes:
        weights_gbs: GB (10^9 bytes) of weights a second, median.
        spread: standard deviation of its natural logarithm.
        is_measured: it follows from the machine's own token rate.
        source: where it comes from, in words.
    """

    weights_gbs: float
    spread: float
    is_measured: bool
    source: str


@dataclass(frozen=True, slots=True)
class GuessErrors:
    """How wrong guesses were for machines of the class, each guessed from the others.

    Attributes:
        errors: machine to guess divided by measured, less 1.
        median: of their absolute values.
        largest: of their absolute values.
        spread: root of the mean square of ln(guess / measured).
    """

    errors: dict[str, float]
    median: float
    largest: float
    spread: float


def guess(name: str, catalogue: MachineCatalogue | None = None) -> Guess:
    """What is believed of a machine of the catalogue before anything was measured on it.

    Its own published token rate counts where there is one; else the copy rate of its memory and its
    arithmetic, by what these did for others.

    Raises:
        HerdError: there is no such machine, or it is of a class for which guesses are wrong.
    """
    known = catalogue or load_machines()
    machine = known.of(name)
    of = known.yardstick
    yardstick = f"{of.model} in {of.weights} with {of.program}"
    if (why := machine.refusal()) is not None:
        raise HerdError(f"Nothing can be guessed of {machine.name}: {why}. Measure it instead.")
    if machine.tokens_per_s is not None:
        source = known.sources[machine.tokens_per_s.source].title
        speed = machine.tokens_per_s.value * of.weights_gb.value
        words = f"its token rate of {yardstick}: {source}"
        return Guess(speed, SAME_PROCESSOR, is_measured=True, source=words)
    others = machines_with_rates(known)
    told = guess_errors(known)
    speed = of.weights_gb.value * _rate(_fitted(others), machine)
    source = (
        f"copy rate and HPL of {machine.name}, as {len(others)} other machines turn them into "
        f"tokens of {yardstick}: median error {told.median:.0%}, largest {told.largest:.0%}"
    )
    return Guess(speed, told.spread, is_measured=False, source=source)


def machines_with_rates(catalogue: MachineCatalogue) -> list[KnownMachine]:
    """Machines of the class whose token rate is known.

    Raises:
        HerdError: they are too few.
    """
    found = [one for one in catalogue.machines if one.tokens_per_s and one.refusal() is None]
    if len(found) < FEWEST:
        raise HerdError(
            f"The catalogue of machines has {len(found)} machines with a token rate of up to "
            f"{CLASS_W:g} W; a guess needs {FEWEST}."
        )
    return found


def guess_errors(catalogue: MachineCatalogue | None = None) -> GuessErrors:
    """Guess each machine of the class from the others, and compare with its token rate."""
    return guess_errors_of(machines_with_rates(catalogue or load_machines()))


def guess_errors_of(machines: list[KnownMachine]) -> GuessErrors:
    """Leave each machine out once, fit the others, and compare.

    Args:
        machines: with copy rate, HPL and token rate.
    """
    found = {}
    for machine in machines:
        others = [one for one in machines if one is not machine]
        found[machine.name] = _rate(_fitted(others), machine) / _tokens(machine)
    sizes = [abs(ratio - 1) for ratio in found.values()]
    logs = [math.log(ratio) for ratio in found.values()]
    return GuessErrors(
        errors={name: ratio - 1 for name, ratio in found.items()},
        median=statistics.median(sizes),
        largest=max(sizes),
        spread=math.sqrt(statistics.fmean(log * log for log in logs)),
    )


Coefficients = npt.NDArray[np.float64]


def _fitted(machines: list[KnownMachine]) -> Coefficients:
    """How many tokens' time a GB/s and a GFLOP/s take: seconds = a / copy + b / HPL.

    Least squares of the relative errors of the times; neither coefficient is below 0.
    """
    sizes = np.array([_costs(one) * _tokens(one) for one in machines])
    ones = np.ones(len(machines))
    both: Coefficients = np.linalg.lstsq(sizes, ones, rcond=None)[0]
    if (both >= 0).all():
        return both
    alone = sizes.sum(axis=0) / (sizes * sizes).sum(axis=0)
    left = ((sizes * alone - 1) ** 2).sum(axis=0)
    return np.where(np.arange(2) == left.argmin(), alone, 0.0)


def _costs(machine: KnownMachine) -> Coefficients:
    """Time in which a machine copies a GB, and in which it makes 10^9 operations, in seconds."""
    assert machine.copy_gbs is not None  # noqa: S101 - `refusal` was asked
    assert machine.hpl_gflops is not None  # noqa: S101 - `refusal` was asked
    return np.array([1 / machine.copy_gbs.value, 1 / machine.hpl_gflops.value])


def _tokens(machine: KnownMachine) -> float:
    assert machine.tokens_per_s is not None  # noqa: S101 - `machines_with_rates` has no other
    return machine.tokens_per_s.value


def _rate(coefficients: Coefficients, machine: KnownMachine) -> float:
    """Tokens a second."""
    return 1.0 / float(_costs(machine) @ coefficients)
