"""Machines that others measured (`analysis/published/machines.yml`), and what they could do.

A guess is how fast a machine goes through weights while it generates: the first belief of the cost
model about a machine that no one here has. It comes with the error that such guesses had for
machines whose token rate is known, each guessed from the others.
"""

from __future__ import annotations

import functools
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from core.errors import HerdError
from core.yaml_file import load_yaml_file

MACHINES_FILE = "machines.yml"
CATALOGUE = Path(__file__).parents[1] / "published" / MACHINES_FILE
CLASS_W = 45.0
"""Machines that need more watts for HPL are of another class: most have a GPU that computes."""
SAME_PROCESSOR = 0.1
"""Standard deviation of the logarithm of token rates of machines with one processor: of the four
with a BCM2712 it is 0.09."""
FEWEST = 5
"""Machines with a known token rate from which others may be guessed."""

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MachineSource(_Strict):
    """Where figures are from.

    Attributes:
        title: what it is and where.
        published: the day, or the month, of its publication or its last change (ISO 8601).
        read: the day when it was read, where it has no date.
    """

    title: Name | Annotated[str, Field(max_length=300)]
    published: Day | None = None
    read: Day | None = None

    @model_validator(mode="after")
    def _has_one_date(self) -> Self:
        if (self.published is None) == (self.read is None):
            raise ValueError("give `published`, or `read` where it has no date")
        return self


class Published(_Strict):
    """A figure with its source and the place in it."""

    value: PositiveFloat
    source: Name
    place: Name


class Sizes(_Strict):
    """Sizes in GiB in which a machine is sold, with their source."""

    values: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    source: Name
    place: Name


class KnownMachine(_Strict):
    """A machine; what is None was not published in any source of the file.

    Attributes:
        kind: what it is sold as.
        instructions: of its processor.
        cores: of its processor.
        memory_gib: sizes of memory that it is sold with.
        copy_gbs: bytes copied by one thread, in GB/s.
        hpl_gflops: 64-bit arithmetic of all cores, in GFLOP/s.
        link_mbit: rate of its wired network, in Mbit/s.
        idle_w: power of the whole machine while idle, in W.
        hpl_w: power while all cores compute, in W.
        tokens_per_s: of the yardstick's model.
    """

    name: Name
    kind: Literal["board", "mini-pc", "laptop", "desktop"]
    instructions: Literal["arm", "x86", "riscv"]
    cores: Published | None = None
    memory_gib: Sizes | None = None
    copy_gbs: Published | None = None
    hpl_gflops: Published | None = None
    link_mbit: Published | None = None
    idle_w: Published | None = None
    hpl_w: Published | None = None
    tokens_per_s: Published | None = None

    def figures(self) -> dict[str, Published | Sizes]:
        """Its figures by name."""
        told = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: one for name, one in told.items() if isinstance(one, Published | Sizes)}

    def refusal(self) -> str | None:
        """Why nothing can be guessed of it, a clause; None if something can."""
        if self.instructions == "riscv":
            return "it is a RISC-V machine, and the published ones are far slower than a guess"
        if self.copy_gbs is None or self.hpl_gflops is None:
            missing = "copy rate of its memory" if self.copy_gbs is None else "result of HPL"
            return f"no {missing} was published"
        if self.hpl_w is None:
            return "its power was not published, so its class is not known"
        if self.hpl_w.value > CLASS_W:
            return (
                f"it needs {self.hpl_w.value:g} W, and guesses hold for machines of up to "
                f"{CLASS_W:g} W that compute on their CPU"
            )
        return None


class Yardstick(_Strict):
    """What `tokens_per_s` are of: a model, and the program that ran it.

    Attributes:
        weights_gb: size of its weights, in GB (10^9 bytes).
    """

    model: Name
    weights: Name
    program: Name
    weights_gb: Published


class MachineCatalogue(_Strict):
    """The catalogue."""

    sources: Annotated[dict[Name, MachineSource], Field(min_length=1)]
    yardstick: Yardstick
    machines: Annotated[tuple[KnownMachine, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_has_its_source(self) -> Self:
        names = [machine.name for machine in self.machines]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the machine {twice} appears twice")
        used = {self.yardstick.weights_gb.source}
        for machine in self.machines:
            for name, figure in machine.figures().items():
                used.add(figure.source)
                if figure.source not in self.sources:
                    raise ValueError(
                        f"{machine.name}: `{name}` is from `{figure.source}`, which is not one of "
                        f"the sources ({', '.join(self.sources)})"
                    )
        if unused := self.sources.keys() - used:
            raise ValueError(f"no figure is from the source {min(unused)}: remove it")
        return self

    def of(self, name: str) -> KnownMachine:
        """A machine by its name, in any case of letters.

        Raises:
            HerdError: there is no such machine.
        """
        for machine in self.machines:
            if machine.name.casefold() == name.casefold():
                return machine
        known = ", ".join(machine.name for machine in self.machines)
        raise HerdError(
            f"The catalogue of machines ({MACHINES_FILE}) has no {name}. It has {known}."
        )


@functools.cache
def load_machines(path: Path = CATALOGUE) -> MachineCatalogue:
    """The catalogue of machines.

    Raises:
        HerdError: the file is wrong; the message has file, line and what would be right.
    """
    return load_yaml_file(path, MachineCatalogue, "the catalogue of machines")


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
