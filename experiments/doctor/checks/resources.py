"""Clock, memory and disk."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.doctor.facts import Facts
from experiments.doctor.finding import Answer, Finding, ok, problem, warning

OFFSET_S = 1.0
WRONG_S = 60.0
"""From here on certificates and package lists can fail for it."""
LEAST_FREE_MIB = 512
LEAST_DISK_MIB = 4096
"""A model of one billion parameters in q8_0 and what is built beside it."""
FULL_DISK_MIB = 512
GIB = 1024


def check(answer: Answer, facts: Facts) -> Iterator[Finding]:
    """One after the other."""
    yield from _clock(answer, facts)
    yield from _memory(facts)
    yield from _disk(facts)


def _clock(answer: Answer, facts: Facts) -> Iterator[Finding]:
    off_s, error_s = answer.offset_s, answer.offset_error_s
    sure_s = abs(off_s) - error_s
    told = f"{off_s:+.3f} s (±{error_s:.3f})"
    if sure_s > OFFSET_S:
        verdict = problem if sure_s > WRONG_S else warning
        yield verdict(
            "clock",
            f"Its clock differs from the controller's by {told}.",
            "sudo hwclock --hctosys, or restart WSL: its clock stops while Windows sleeps."
            if facts.wsl
            else "sudo timedatectl set-ntp true; if it stays, look at the controller's own clock.",
        )
        return
    base = facts.base
    shares_it = facts.machine.kind in ("container", "wsl1", "wsl2")
    if not base.clock_synchronised and not shares_it:
        yield warning(
            "clock",
            f"It is {told} from the controller's, but nothing keeps it so.",
            "sudo timedatectl set-ntp true",
        )
        return
    service = f", set by {base.clock_service}" if base.clock_service else ""
    yield ok("clock", f"{told} from the controller's{service}.")


def _memory(facts: Facts) -> Iterator[Finding]:
    base = facts.base
    if base.memory_mib is None:
        return
    free_mib = base.available_mib
    free = f", {_gib(free_mib)} free" if free_mib is not None else ""
    swap = f", swap {_gib(base.swap_mib)}" if base.swap_mib else ""
    sentence = f"{_gib(base.memory_mib)}{free}{swap}."
    if free_mib is not None and free_mib < LEAST_FREE_MIB:
        yield warning(
            "memory", f"Little is free: {sentence}", "See what uses it: ps aux --sort=-rss | head"
        )
    else:
        yield ok("memory", sentence)


def _disk(facts: Facts) -> Iterator[Finding]:
    for disk in facts.disks:
        told = f"{_gib(disk.free_mib)} of {_gib(disk.total_mib)} free at {disk.path}"
        if disk.free_mib < LEAST_DISK_MIB:
            verdict = problem if disk.free_mib < FULL_DISK_MIB else warning
            yield verdict(
                "disk",
                f"Only {told}.",
                "Make room (sudo apt clean; models no longer used), or put a larger disk there.",
            )
        else:
            yield ok("disk", f"{told}.")


def _gib(mib: int) -> str:
    return f"{mib / GIB:.1f} GiB"
