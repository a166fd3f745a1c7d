"""Reads what a node reports, by types: it may be broken, or taken over.

Any answer becomes a value within bounds, or a sentence that names the node.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, RootModel, ValidationError

from core.errors import HerdError
from core.foreign import LARGEST_COUNT, Count, FileName, one_line
from core.record import Scalar
from experiments.fleet import commands
from experiments.fleet.cluster import Backend

LONGEST_WORDS = 4000
MOST_FACTS = 500
_FACT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")

Told = TypeVar("Told", bound=BaseModel)


def as_fact(value: object) -> Scalar | None:
    """A value of JSON that can be kept, shown and compared.

    Raises:
        ValueError: it is none.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= LONGEST_WORDS:
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_COUNT:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(
        "it must be a text, a finite number, true, false or null, of reasonable length"
    )


def _is_fact(value: object) -> bool:
    try:
        as_fact(value)
    except ValueError:
        return False
    return True


def _as_facts(value: object) -> dict[str, Scalar | None]:
    if not isinstance(value, dict) or len(value) > MOST_FACTS:
        raise ValueError(f"it must be an object of at most {MOST_FACTS} facts")
    for name in value:
        if not _FACT_NAME.fullmatch(name):
            raise ValueError(f"`{one_line(name, 60)}` is not the name of a fact")
    return {name: as_fact(one) for name, one in value.items()}


Words = Annotated[str, Field(max_length=LONGEST_WORDS)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Nanoseconds = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Facts = Annotated[dict[str, str | int | float | bool | None], PlainValidator(_as_facts)]


class Hardware(BaseModel):
    """What of a node's facts is reckoned with."""

    model_config = ConfigDict(extra="ignore")

    cores: Annotated[int, Field(strict=True, ge=1, le=65_536)]
    memory_mib: Count
    available_mib: Count | None = None


_SAID_BY_ENGINE = ("engine", "format", "reads_model_on_every_node")
"""What every install of an engine reports alike, and so does not describe one."""


class Arguments(BaseModel):
    """What the node's helper lets an engine's programs be started with."""

    model_config = ConfigDict(extra="ignore")

    options: list[Words] = []
    flags: list[Words] = []
    texts: list[Words] = []

    def all(self) -> frozenset[str]:
        """All of them."""
        return frozenset((*self.options, *self.flags, *self.texts))


class Stamp(BaseModel):
    """What a role left about an engine (`install.json`); the rest of it is provenance."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    installed: bool = False
    reason: Words | None = None
    version: Words | None = None
    protocol: Words | None = None
    binary_sha256: dict[FileName, Sha256] | None = None
    arguments: Arguments = Arguments()
    gpu: Backend | None = None

    def details(self) -> dict[str, Scalar | None]:
        """The rest, as far as it is of one value each."""
        return {
            name: value
            for name, value in (self.model_extra or {}).items()
            if name not in _SAID_BY_ENGINE and _is_fact(value)
        }


class FileStamp(BaseModel):
    """A model's file as it was when it was copied."""

    model_config = ConfigDict(extra="ignore")

    sha256: Sha256
    size_bytes: Count
    mtime_ns: Nanoseconds


class Manifest(BaseModel):
    """What is recorded of a model's folder (`manifest.json`)."""

    model_config = ConfigDict(extra="ignore")

    files: dict[FileName, FileStamp] = {}


FactSheet = RootModel[Facts]
"""Everything that `node-facts` reports about a node."""


def read_told(node: str, where: str, text: str, document: type[Told]) -> Told:
    """JSON of a node as what it should be.

    Args:
        node: its name, for messages.
        where: what is read, for messages: a path on the node, or a few words.
        text: what it says.
        document: what it must be.

    Raises:
        HerdError: it is not that; the message names the node.
    """
    try:
        return document.model_validate_json(text)
    except ValidationError as error:
        raise wrong(node, where, first_of(error)) from None


def wrong(node: str, where: str, why: str) -> HerdError:
    """Return the error for a node with an impossible report."""
    return HerdError(
        f"Reading {one_line(where)} on {node}: it is damaged ({one_line(why)}). "
        f"Run `{commands.provision(limit=[node])}`."
    )


def unread(what: str, error: Exception) -> str:
    """Return the cause of a failure for an unforeseen error."""
    return f"{what} cannot be read ({type(error).__name__}: {one_line(str(error), 200)})"


def first_of(error: ValidationError) -> str:
    """The first thing that is wrong, in a few words and without what was given."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return one_line(f"{place}: {first['msg']}" if place else first["msg"], 200)
