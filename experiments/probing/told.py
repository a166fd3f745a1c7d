"""Reads what `herd-probe` printed on a node: it may be broken, or taken over."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from collect.probe import (
    KEPT_FACTS,
    GigabytesPerSecond,
    Gigaflops,
    LinkProbe,
    Megabits,
    Microseconds,
    NodeProbe,
)
from core.errors import HerdError
from core.foreign import Count, one_line
from experiments.fleet.cluster import Node
from experiments.nodes.told import first_of

MOST_BYTES = 1 << 20
MOST_LINES = 5000
LONGEST_REASON = 1000
MOST_REMARKS = 10

Words = Annotated[str, Field(max_length=LONGEST_REASON)]
Span = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
"""Seconds that a transfer took."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Memory(_Line):
    kind: Literal["memory"]
    loop: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]
    array_mib: Count
    cache_mib: Count | None
    one: Annotated[list[GigabytesPerSecond], Field(min_length=1, max_length=20)]
    all: Annotated[list[GigabytesPerSecond], Field(min_length=1, max_length=20)]


class _Arithmetic(_Line):
    kind: Literal["arithmetic"]
    compiler: Words
    one: Annotated[list[Gigaflops], Field(min_length=1, max_length=20)]
    all: Annotated[list[Gigaflops], Field(min_length=1, max_length=20)]


class _Link(_Line):
    kind: Literal["link"]
    address: Words
    half_us: tuple[Microseconds, Microseconds, Microseconds]
    exchanges: Count
    out: tuple[Count, Span]
    back: tuple[Count, Span] = Field(alias="in")


class _Remark(_Line):
    kind: Literal["remark"]
    text: Words
    address: Words | None = None


class _End(_Line):
    kind: Literal["end"]


_LINE: TypeAdapter[_Memory | _Arithmetic | _Link | _Remark | _End] = TypeAdapter(
    Annotated[_Memory | _Arithmetic | _Link | _Remark | _End, Field(discriminator="kind")]
)
_RATE: TypeAdapter[float] = TypeAdapter(Megabits)


def _lines(node: str, out: bytes) -> Iterator[_Memory | _Arithmetic | _Link | _Remark | _End]:
    """What it printed, line by line; a last line without an end was cut off.

    Raises:
        HerdError: it is nothing that the program prints.
    """
    if len(out) > MOST_BYTES:
        raise HerdError(f"{node}: its measurement has {len(out)} bytes, too many to be one.")
    for line in out.split(b"\n")[:-1][:MOST_LINES]:
        try:
            yield _LINE.validate_json(line)
        except ValidationError as error:
            shown = one_line(line.decode("utf-8", "replace"), 60)
            raise HerdError(
                f"{node}: its measurement is damaged ({first_of(error)}) in the line `{shown}`."
            ) from None


def node_probe(node: Node, out: bytes, why_ended: str | None) -> NodeProbe:
    """What a node measured of itself.

    Args:
        node: as it was when it was asked for its facts.
        out: what the program printed.
        why_ended: why it ended early, a clause; None if it did not.

    Raises:
        HerdError: it printed something else, or nothing was measured.
    """
    figures: dict[str, object] = {}
    remarks: list[str] = []
    for line in _lines(node.name, out):
        if isinstance(line, _Memory):
            figures |= {
                "memory_one_gbs": statistics.median(line.one),
                "memory_all_gbs": statistics.median(line.all),
                "memory_spread": (max(line.all) - min(line.all)) / statistics.median(line.all),
                "memory_loop": line.loop,
                "array_mib": line.array_mib,
                "cache_mib": line.cache_mib,
            }
        elif isinstance(line, _Arithmetic):
            figures |= {
                "arithmetic_one_gflops": statistics.median(line.one),
                "arithmetic_all_gflops": statistics.median(line.all),
            }
        elif isinstance(line, _Remark):
            remarks.append(one_line(line.text, LONGEST_REASON))
    if why_ended is not None:
        remarks.append(f"the program that measures ended early: {why_ended}")
    if not figures:
        raise HerdError(f"{node.name}: {'; '.join(remarks) or 'it measured nothing'}.")
    return NodeProbe.model_validate(
        {
            "name": node.name,
            "machine": {fact: node.facts[fact] for fact in KEPT_FACTS if fact in node.facts},
            "threads": node.cores,
            "remarks": tuple(remarks[:MOST_REMARKS]),
            **figures,
        }
    )


def link_probes(
    node: Node, targets: list[Node], out: bytes
) -> tuple[list[LinkProbe], dict[str, str]]:
    """What a node measured of its links, both directions of each.

    Args:
        node: it connected.
        targets: to these, in this order.
        out: what the program printed.

    Returns:
        The links, and by target why there is none, a clause.

    Raises:
        HerdError: it printed something else.
    """
    named = {target.engine_address: target.name for target in targets}
    found: list[LinkProbe] = []
    reasons: dict[str, str] = {}
    for line in _lines(node.name, out):
        if isinstance(line, _Link | _Remark):
            name = named.pop(line.address or "", None)
            if name is None:
                raise HerdError(f"{node.name}: it measured a link that no one asked it for.")
            if isinstance(line, _Remark):
                reasons[name] = one_line(line.text, LONGEST_REASON)
            else:
                found += _both(node.name, name, line)
    return found, reasons


def _both(asked: str, listened: str, line: _Link) -> Iterator[LinkProbe]:
    """Both directions of a link.

    Raises:
        HerdError: no link can have such figures.
    """
    lower, median, upper = line.half_us
    for source, target, (count, seconds) in (
        (asked, listened, line.out),
        (listened, asked, line.back),
    ):
        try:
            yield LinkProbe(
                source=source,
                target=target,
                latency_us=median,
                latency_lower_us=lower,
                latency_upper_us=upper,
                exchanges=line.exchanges,
                rate_mbit=_RATE.validate_python(count * 8 / seconds / 1e6),
                transferred_bytes=count,
            )
        except ValidationError as error:
            raise HerdError(
                f"{asked}: its measurement of the link to {listened} cannot be ({first_of(error)})."
            ) from None
