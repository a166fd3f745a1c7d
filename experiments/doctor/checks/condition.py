"""The state of a machine: whether what is installed stays and runs, and what slows it down."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from experiments.doctor.facts import Condition, Facts
from experiments.doctor.finding import Finding, NodeAnswer, ok, problem, warning
from experiments.doctor.probe.condition import COMPILED_IN, FORGETFUL
from experiments.fleet import commands

SUBJECT = "state"
_BITS = re.compile(r"[0-9a-fA-F]{1,8}")


def check(answer: NodeAnswer, facts: Facts) -> Iterator[Finding]:
    """Only what is not as it should be, but for the power of a Raspberry Pi."""
    state, machine = facts.condition, facts.machine
    if state is None:
        return
    is_own = machine.kind in ("native", "pi")
    if state.read_only:
        yield problem(
            SUBJECT,
            "Its root file system is mounted read-only: nothing can be installed.",
            "Check dmesg for a broken card or disk; if there is none: "
            f"{commands.on_node(answer.node, 'mount -o remount,rw /')}",
        )
    if is_own and state.root_type in FORGETFUL:
        yield _forgets(answer, facts, state.root_type)
    for folder in state.starts_nothing:
        mount = f"mount -o remount,exec $(findmnt -n -o TARGET -T {shlex.quote(folder)})"
        yield problem(
            SUBJECT,
            f"Programs cannot be started below {folder} (mounted noexec), where engines are "
            f"{'compiled' if folder == COMPILED_IN else 'installed'}.",
            "Remove noexec from /etc/fstab; until the next boot: "
            f"{commands.on_node(answer.node, mount)}",
        )
    if is_own and not state.has_modules:
        yield warning(
            SUBJECT,
            f"The running kernel {facts.base.kernel} has no modules on the disk, as after an "
            "update: modules that are not loaded yet, such as the firewall's, cannot be loaded.",
            commands.on_node(answer.node, "systemctl reboot"),
        )
    if state.dpkg_stopped:
        yield problem(
            SUBJECT,
            "The installation of a package was interrupted, so no other can be installed.",
            commands.on_node(
                answer.node,
                f"{commands.ASKS_NOTHING}; dpkg --configure -a --force-confdef --force-confold",
            ),
        )
    yield from _power(facts, state)


def _forgets(answer: NodeAnswer, facts: Facts, kind: str) -> Finding:
    command = (
        commands.on_node(answer.node, "raspi-config nonint disable_overlayfs && systemctl reboot")
        if facts.machine.kind == "pi" and facts.machine.os_id != "ubuntu"
        else "Install the system on a disk, or turn off its overlay (/etc/overlayroot.conf)."
    )
    return problem(
        SUBJECT,
        f"Its root file system ({kind}) loses everything written to it at each boot.",
        command,
    )


def _power(facts: Facts, state: Condition) -> Iterator[Finding]:
    """Bits 0 to 3 are now, 16 to 19 since boot: undervoltage, frequency capped, throttled, hot."""
    if state.throttled is None and facts.machine.kind == "pi":
        yield ok(
            SUBJECT,
            "Whether it is or was throttled is unknown: this kernel does not report it, and "
            "vcgencmd is missing or not permitted for this account (group video).",
        )
    if state.throttled is None or not _BITS.fullmatch(state.throttled.removeprefix("0x")):
        return
    bits = int(state.throttled, 16)
    when = "since it booted" if state.throttled_since_boot else "within the last seconds"
    if bits:
        yield warning(
            SUBJECT,
            f"It has been throttled {when} (bits 0x{bits:x}): its power supply or cooling is "
            "too weak.",
            "Use a stronger power supply or better cooling, then reboot it.",
        )
    elif state.throttled_since_boot:
        yield ok(SUBJECT, "It has not been throttled since it booted.")
    else:
        yield ok(
            SUBJECT,
            "It is not throttled now; whether it was since it booted is unknown: vcgencmd is "
            "missing or not permitted for this account (group video).",
        )
