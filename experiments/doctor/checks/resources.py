"""Clock, memory and disk."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.doctor.facts import Facts
from experiments.doctor.finding import Finding, NodeAnswer, ok, problem, warning
from experiments.fleet import commands

OFFSET_S = 1.0
WRONG_S = 60.0
"""From here on certificates and package lists can fail for it."""
LEAST_FREE_MIB = 512
LEAST_DISK_MIB = 4096
"""A model of one billion parameters in q8_0, and the files built from it."""
FULL_DISK_MIB = 512
LEAST_FREE_FILES = 20_000
"""An environment of Petals has about as many."""
GIB = 1024
ASK_CLOCK = {
    "systemd-timesyncd": "timedatectl timesync-status",
    "chrony": "chronyc sources",
    "ntpsec": "ntpq -p",
    "ntp": "ntpq -p",
    "openntpd": "ntpctl -s all",
}
"""The command that shows the time servers of a service."""


def check(answer: NodeAnswer, facts: Facts) -> Iterator[Finding]:
    """One after the other."""
    yield from _clock(answer, facts)
    yield from _memory(answer, facts)
    yield from _disk(answer, facts)


def _clock(answer: NodeAnswer, facts: Facts) -> Iterator[Finding]:
    off_s, error_s = answer.offset_s, answer.offset_error_s
    sure_s = abs(off_s) - error_s
    told = f"{off_s:+.3f} s (±{error_s:.3f})"
    if sure_s > OFFSET_S:
        verdict = problem if sure_s > WRONG_S else warning
        yield verdict(
            "clock",
            f"Its clock differs from the controller's by {told}.",
            _set_right(answer, facts),
        )
        return
    base = facts.base
    shares_it = facts.machine.kind in ("container", "wsl1", "wsl2")
    if not base.clock_synchronised and not shares_it:
        who = base.clock_service
        why = f"{who} has not set it yet" if who else "nothing keeps it synchronised"
        yield warning(
            "clock", f"It is {told} off the controller's clock, but {why}.", _keep(answer, facts)
        )
        return
    service = f", set by {base.clock_service}" if base.clock_service else ""
    yield ok("clock", f"{told} off the controller's clock{service}.")


def _set_right(answer: NodeAnswer, facts: Facts) -> str:
    """What sets a clock that is wrong now."""
    if facts.machine.kind == "container":
        return "A container uses its host's clock: set that one, or the controller's."
    if facts.wsl:
        return (
            "In PowerShell: wsl --shutdown, then start it again: its clock stops while Windows "
            "sleeps. Provisioning installs chrony in guests of group wsl_guests, which fixes "
            "that."
        )
    return f"Check whether the controller's own clock is right; if so: {_keep(answer, facts)}"


def _keep(answer: NodeAnswer, facts: Facts) -> str:
    """What keeps a clock right, by what is installed."""
    service = facts.base.clock_service
    if service is not None:
        looks = commands.on_node(answer.node, ASK_CLOCK.get(service, "timedatectl"), root=False)
        return f"Wait a minute, then check whether it reaches a time server (UDP port 123): {looks}"
    for unit in facts.machine.clock_units:
        return commands.on_node(answer.node, f"systemctl enable --now {unit}")
    install = f"{commands.ASKS_NOTHING}; apt-get update && apt-get install -y systemd-timesyncd"
    return commands.on_node(answer.node, install)


def _memory(answer: NodeAnswer, facts: Facts) -> Iterator[Finding]:
    base = facts.base
    if base.memory_mib is None:
        return
    free_mib = base.available_mib
    free = f", {_gib(free_mib)} free" if free_mib is not None else ""
    swap = f", swap {_gib(base.swap_mib)}" if base.swap_mib else ""
    sentence = f"{_gib(base.memory_mib)}{free}{swap}."
    if free_mib is not None and free_mib < LEAST_FREE_MIB:
        looks = commands.on_node(answer.node, "ps aux --sort=-rss | head", root=False)
        yield warning(
            "memory", f"Little memory is free: {sentence}", f"Find out what uses it: {looks}"
        )
    else:
        yield ok("memory", sentence)


def _disk(answer: NodeAnswer, facts: Facts) -> Iterator[Finding]:
    for disk in facts.disks:
        told = f"{_gib(disk.free_mib)} of {_gib(disk.total_mib)} free at {disk.path}"
        if disk.free_files is not None and disk.free_files < LEAST_FREE_FILES:
            yield problem(
                "disk",
                f"The file system at {disk.path} has room for only {disk.free_files} more "
                "files, regardless of its free space (df -i).",
                "Remove folders with many small files, such as caches and old logs.",
            )
        if disk.free_mib < LEAST_DISK_MIB:
            verdict = problem if disk.free_mib < FULL_DISK_MIB else warning
            yield verdict(
                "disk",
                f"Only {told}.",
                "Remove models that are no longer used, or use a larger disk. To remove the "
                f"package archives: {commands.on_node(answer.node, 'apt-get clean')}",
            )
        else:
            yield ok("disk", f"{told}.")


def _gib(mib: int) -> str:
    return f"{mib / GIB:.1f} GiB"
