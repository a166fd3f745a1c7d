"""What smart plugs counted during an attempt, and the price of electricity.

An attempt's folder has the readings themselves in `power.csv`: `plug`, `at_s` (seconds since the
window began; the reading before it has a negative one), `watts`, `counter_j` (joules since the
plug's counter began; empty where it has none).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from core.foreign import Count, FileName, decimal, one_line
from core.record import Positive, Record, Seconds, Words

POWER_FILE = "power.csv"
POWER_COLUMNS = ("plug", "at_s", "watts", "counter_j")
MOST_READINGS = 3600
"""Of a plug in the file of an attempt; of a longer window every second, third … is kept."""
Energy = Annotated[float, Field(strict=True, ge=0, le=1e15)]
"""Joules; the most is what a power station gives in a fortnight, so that sums stay numbers."""
By = Literal["counter", "power"]
"""`counter`: the plug's counter at both ends. `power`: the sum of its readings of power."""


class Electricity(Record):
    """What electricity costs.

    Attributes:
        per_kwh: in `currency`.
        currency: ISO 4217.
    """

    per_kwh: float = Field(ge=0.0, le=1e6)
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class PlugEnergy(Record):
    """What a plug counted while the main process of a trial ran: everything that it feeds.

    Attributes:
        nodes: names of the nodes that it fed.
        feeds_switch: whether it fed the network switch, too.
        joules: None where they are not known.
        error_j: by how much they may be wrong, from the resolution of the counter and the time
            between readings. What the plug's own calibration adds is not in it.
        by: how they were found.
        window_s: length of the window, by the controller's clock.
        readings: of the plug in the window.
        idle_w: power before the session's first trial; None where it was not read.
        reason: why there are no joules; None where there are.
    """

    nodes: Annotated[tuple[FileName, ...], Field(max_length=1000)] = ()
    feeds_switch: bool = False
    joules: Energy | None = None
    error_j: Energy | None = None
    by: By | None = None
    window_s: Seconds
    readings: Count = 0
    idle_w: Positive | None = None
    reason: Words | None = None


@dataclass(frozen=True, slots=True)
class PowerReading:
    """A line of an attempt's file.

    Attributes:
        at_s: since the window began.
        counter_j: None where the plug has no counter.
    """

    plug: str
    at_s: float
    watts: float
    counter_j: float | None


def power_file(readings: Iterable[PowerReading]) -> bytes:
    """Return readings as the content of an attempt's file."""
    lines = [",".join(POWER_COLUMNS)]
    for one in readings:
        counter = "" if one.counter_j is None else f"{one.counter_j:.3f}"
        lines.append(f"{one.plug},{one.at_s:.3f},{one.watts:.3f},{counter}")
    return "".join(f"{line}\n" for line in lines).encode()


def read_power(content: bytes) -> Iterator[PowerReading]:
    """Yield the readings of an attempt's file; what is none is left out."""
    for line in content.decode(errors="replace").splitlines():
        # Names of plugs are names of files: none has a quotation mark that a reader must know.
        row = line.split(",")
        if len(row) == len(POWER_COLUMNS):
            at_s, watts, counter_j = map(decimal, row[1:])
            if at_s is not None and watts is not None and watts >= 0:
                yield PowerReading(one_line(row[0], 80), at_s, watts, counter_j)
