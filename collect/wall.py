"""What a trial took from the socket: the sum of its plugs, with what that sum includes.

It is never added to what counters inside of machines count, which leave out power supplies, boards
and disks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collect.attempt import AttemptRecord, read_log
from collect.columns import PLUGS, POWER
from collect.plugs import POWER_FILE, By, PlugEnergy, read_power
from core.errors import HerdError

J_PER_WH = 3600.0
LARGEST_POWER_BYTES = 1 << 24
"""Of the readings of an attempt: those of 64 plugs, which is more than a run has."""
NODES_ONLY, WITH_SWITCH = "whole nodes, without the switch", "whole nodes and the switch"
TAKING_NO_PART = "with {names}, which took no part"


@dataclass(frozen=True, slots=True)
class WallEnergy:
    """Energy of everything that the plugs of a cell feed.

    Attributes:
        scope: what is in it, in words; figures are comparable only if these are the same.
        by: how it was found; `mixed` if plugs differ in that.
        idle_w: of the same before the session's first trial; None where a plug was not read then.
    """

    joules: float
    error_j: float
    window_s: float
    scope: str
    by: By | str
    idle_w: float | None

    @property
    def above_idle_j(self) -> float | None:
        """What came on top of doing nothing for as long; None where that is not known."""
        return None if self.idle_w is None else self.joules - self.idle_w * self.window_s


def wall_energy(record: AttemptRecord, nodes: Sequence[str]) -> WallEnergy | None:
    """Return what the plugs of a cell counted; None unless each of its nodes is behind one.

    Args:
        record: of an attempt.
        nodes: of its cell.
    """
    plugs = list(record.plugs.values())
    fed = [name for plug in plugs for name in plug.nodes]
    is_counted_twice = len(set(fed)) < len(fed) or sum(one.feeds_switch for one in plugs) > 1
    if not nodes or not set(nodes) <= set(fed) or is_counted_twice:
        return None
    known = [(one.joules, one.error_j or 0.0, one.by) for one in plugs if one.joules is not None]
    if len(known) < len(plugs):
        return None
    ways = {by for _, _, by in known if by}
    idle = [one.idle_w for one in plugs if one.idle_w is not None]
    return WallEnergy(
        joules=sum(joules for joules, _, _ in known),
        error_j=sum(error_j for _, error_j, _ in known),
        window_s=plugs[0].window_s,
        scope=_scope(plugs, sorted(set(fed) - set(nodes))),
        by=ways.pop() if len(ways) == 1 else "mixed",
        idle_w=sum(idle) if len(idle) == len(plugs) else None,
    )


def _scope(plugs: Sequence[PlugEnergy], others: Sequence[str]) -> str:
    scope = WITH_SWITCH if any(one.feeds_switch for one in plugs) else NODES_ONLY
    if not others:
        return scope
    return f"{scope}, {TAKING_NO_PART.format(names=' and '.join(others))}"


def plug_rows(record: AttemptRecord) -> Iterator[dict[str, Any]]:
    """Yield rows of table `plugs`, without the names of run and attempt."""
    for name, one in record.plugs.items():
        same = {column: getattr(one, column) for column in PLUGS if hasattr(one, column)}
        yield {**same, "plug": name, "nodes": ", ".join(one.nodes), "energy_j": one.joules}


def power_rows(folder: Path, record: AttemptRecord) -> Iterator[dict[str, Any]]:
    """Yield rows of table `power`, without the names of run and attempt."""
    if not 0 < record.file_bytes.get(POWER_FILE, 0) <= LARGEST_POWER_BYTES:
        return
    with suppress(HerdError):  # the account has said why a file cannot be read
        for one in read_power(read_log(folder, POWER_FILE)):
            if one.plug in record.plugs:
                yield {name: getattr(one, name) for name in POWER if hasattr(one, name)}
