"""Whether an execution counts: the rules, written down before anything is measured.

An attempt *failed* if a node was lost, a process did not start or end well, or the logs do not
hold what they should. It is *invalid* if it succeeded but while it ran a node

- had one of the bits 0 to 3 of the Raspberry Pi's firmware set (throttled now) before, after, or at
  a look of its helper, one a second; or newly set one of the bits 16 to 19 (since boot),
- swapped more than `SWAP_BYTES`,
- lost link speed against when the run began,
- had its clock set by more than `CLOCK_STEP_S`,
- had its GPU slowed down or set differently, if it computed there (`gpu_validity.py`).

Nothing is deleted for being slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from collect.attempt import LAST_ROLES, NodeReading
from experiments.trials.execution import Execution
from experiments.trials.gpu_validity import slow_downs

SWAP_BYTES = 1 << 20
"""Less is a stray page of something that slept."""
USUAL_PAGE_BYTES = 4096
"""Where a node does not report it; a Raspberry Pi 5 has pages of 16 KiB."""
CLOCK_STEP_S = 0.5
THROTTLING = {
    0: "its supply voltage was too low",
    1: "its frequency was capped",
    2: "it was throttled",
    3: "it reached its soft temperature limit",
}


def failure(execution: Execution) -> str | None:
    """Why an execution failed, as its processes show it; None if they succeeded."""
    if execution.cause is not None:
        return execution.cause
    roots = (p for p in execution.processes if p.role in LAST_ROLES)
    root = next((p for p in roots if p.exit_code != 0), None)
    if root is None:
        return None
    return f"the {root.role} on {root.node} ended with {root.result or 'no result'}"


def is_told_by_logs(execution: Execution) -> bool:
    """Whether the logs know better than the runner why an execution failed."""
    return not execution.lost and execution.refused is None


def invalidity(
    execution: Execution,
    link_mbit: Mapping[str, int | None],
    page_bytes: Mapping[str, int | None],
) -> str | None:
    """Return why an execution that succeeded must not count; None if it may.

    Args:
        execution: what happened.
        link_mbit: speed of each node's link when the run began.
        page_bytes: size of each node's pages.
    """
    for node, record in execution.readings.items():
        if record.before is None or record.after is None:
            continue
        page = page_bytes.get(node) or USUAL_PAGE_BYTES
        for reason in _reasons(record.before, record.after, link_mbit.get(node), page):
            return f"{node}: {reason}"
    return None


def _reasons(
    before: NodeReading, after: NodeReading, link_mbit: int | None, page_bytes: int
) -> Iterator[str]:
    if before.throttled is not None and after.throttled is not None:
        now = before.throttled | after.throttled | (after.throttled_meanwhile or 0)
        since_boot = after.throttled & ~before.throttled
        for bit, meaning in THROTTLING.items():
            if now & 1 << bit or since_boot & 1 << (bit + 16):
                yield meaning
    if before.swap_pages is not None and after.swap_pages is not None:
        swapped = (after.swap_pages - before.swap_pages) * page_bytes
        if swapped > SWAP_BYTES:
            yield f"it swapped {swapped / 1024:.0f} KiB"
    usual_mbit = link_mbit or before.link_mbit
    if usual_mbit and after.link_mbit and after.link_mbit < usual_mbit:
        yield f"its link was at {after.link_mbit} instead of {usual_mbit} Mbit/s"
    step_s = _clock_step_s(before, after)
    if step_s is not None and abs(step_s) > CLOCK_STEP_S:
        yield f"its clock was set by {step_s:+.1f} s"
    if before.gpu is not None and after.gpu is not None:
        yield from slow_downs(before.gpu, after.gpu)


def _clock_step_s(before: NodeReading, after: NodeReading) -> float | None:
    moments = (before.clock_s, before.uptime_s, after.clock_s, after.uptime_s)
    if any(moment is None for moment in moments):
        return None
    clock_0, uptime_0, clock_1, uptime_1 = (moment or 0.0 for moment in moments)
    return (clock_1 - uptime_1) - (clock_0 - uptime_0)
