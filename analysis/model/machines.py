"""Machines that others measured: the records of `analysis/published/machines.yml`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from core.errors import HerdError
from core.yaml_file import load_yaml_file

MACHINES_FILE = "machines.yml"
CATALOGUE = Path(__file__).parents[1] / "published" / MACHINES_FILE
CLASS_W = 45.0
"""Machines that need more watts for HPL are of another class: most have a GPU that computes."""

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MachineSource(_Strict):
    """Where figures are from.

    Attributes:
        title: what it is and where.
        reference: key of its reference (`analysis/references/references.bib`); empty for none.
        published: the day, or the month, of its publication or its last change (ISO 8601).
        read: the day when it was read, where it has no date.
    """

    title: Name | Annotated[str, Field(max_length=300)]
    reference: str = ""
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
