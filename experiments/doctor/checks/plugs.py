"""Smart plugs: whether each answers, and what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from experiments.doctor.finding import Diagnosis, Finding, ok, warning
from experiments.fleet.cluster import Plug
from experiments.fleet.plugs import spoken
from experiments.nodes.together import in_parallel
from experiments.plugs.energy import COUNTER_SHARE
from experiments.plugs.http import PlugError
from experiments.plugs.kinds import INTERFACES, PlugReader, PlugReading

SUBJECT = "plug"


@dataclass(frozen=True, slots=True)
class Tried:
    """A plug that was read once.

    Attributes:
        reading: None where it gave none.
        reason: why.
    """

    plug: Plug
    reading: PlugReading | None
    reason: str = ""


def try_plugs(plugs: Sequence[Plug]) -> list[Tried]:
    """Read each plug once, all at the same time."""
    return in_parallel(_try, plugs)


def _try(plug: Plug) -> Tried:
    try:
        return Tried(plug, PlugReader(plug).read())
    except PlugError as error:
        return Tried(plug, None, str(error))


def with_plugs(diagnoses: Sequence[Diagnosis], tried: Sequence[Tried]) -> list[Diagnosis]:
    """Return the diagnoses with a finding about the plug of each node.

    A plug that feeds no node is reported with the first one.
    """
    return [
        replace(
            diagnosis,
            findings=[*diagnosis.findings, *_findings(diagnosis, tried, is_first=not place)],
        )
        for place, diagnosis in enumerate(diagnoses)
    ]


def _findings(diagnosis: Diagnosis, tried: Sequence[Tried], *, is_first: bool) -> Iterator[Finding]:
    for one in tried:
        nodes = one.plug.nodes
        if diagnosis.answer.node in nodes or (is_first and not nodes):
            yield finding(one)


def finding(tried: Tried) -> Finding:
    """Return what is to be said about a plug."""
    plug, reading = tried.plug, tried.reading
    what = f"The plug {plug.name} ({INTERFACES[plug.kind].label}) feeds {spoken(plug)}"
    if reading is None:
        return warning(
            SUBJECT,
            f"{what}. It gave no reading: {tried.reason}.",
            "Fix this, or trials are measured without the energy of what it feeds.",
        )
    told = f"{what} and reads {reading.watts:g} W."
    if reading.counter_j is None:
        return ok(SUBJECT, f"{told} It has no counter; energy is the sum of its readings of power.")
    least_j = reading.counter_step_j / COUNTER_SHARE
    return ok(
        SUBJECT,
        f"{told} Its counter steps by {reading.counter_step_j:.3g} J or more, so it counts for "
        f"trials that use {least_j:.3g} J; below that, energy is the sum of readings of power.",
    )
