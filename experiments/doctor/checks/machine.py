"""What the machine is, and whether engines can run on such a machine at all."""

from __future__ import annotations

from collections.abc import Iterator

from core.foreign import whole
from experiments.doctor.facts import Facts
from experiments.doctor.finding import Finding, ok, problem, warning

SUBJECT = "machine"
KINDS = {
    "native": "Native Linux",
    "pi": "Raspberry Pi",
    "container": "Container",
    "wsl1": "WSL 1",
    "wsl2": "WSL 2",
}
ARCHITECTURES = ("x86_64", "aarch64")
SYSTEMS = ("debian", "ubuntu", "raspbian")
NARROW = ("armhf", "armel", "i386")
"""Debian's names of architectures of 32 bits."""
OLDEST_PYTHON = (3, 9)


def check(facts: Facts) -> Iterator[Finding]:
    """What it is, then what speaks against it."""
    base, machine = facts.base, facts.machine
    kind = KINDS[machine.kind] + (f" ({machine.container})" if machine.container else "")
    if facts.wsl and machine.kind == "container":
        kind += " inside WSL"
    parts = [base.os or "unknown system", f"kernel {base.kernel}", base.architecture]
    if base.board:
        parts.insert(0, base.board)
    parts.append(f"{base.cores} x {base.cpu_model or 'unknown processor'}")
    yield ok(SUBJECT, f"{kind}: {', '.join(parts)}.")
    if machine.root_without_password:
        yield ok(
            SUBJECT,
            "This account may run anything as root without a password, by a rule of the machine "
            "(`sudo -l`), as on Raspberry Pi OS. Measurements do not need it.",
        )
    yield from _width(facts)
    yield from _system(facts)
    if base.emulated:
        yield warning(
            SUBJECT,
            "Its processor is emulated: measurements on it say nothing about speed.",
            "Use it to try things out, and leave it out of measurements.",
        )


def _width(facts: Facts) -> Iterator[Finding]:
    machine, architecture = facts.machine, facts.base.architecture
    if machine.userland_bits == 32 or machine.dpkg_architecture in NARROW:  # noqa: PLR2004
        named = machine.dpkg_architecture or "of 32 bits"
        yield problem(
            SUBJECT,
            f"32-bit userland: the kernel is {architecture}, but programs are {named}, and engines "
            "need 64 bits.",
            "Reinstall with the 64-bit system (Raspberry Pi Imager: Raspberry Pi OS Lite "
            "(64-bit)); a 32-bit system cannot be upgraded.",
        )
    elif architecture not in ARCHITECTURES:
        yield problem(
            SUBJECT,
            f"Its processor is {architecture}; engines are built for "
            f"{' and '.join(ARCHITECTURES)}.",
            "Leave this machine out of group `cluster`.",
        )


def _system(facts: Facts) -> Iterator[Finding]:
    machine = facts.machine
    if machine.kind == "wsl1":
        yield problem(
            SUBJECT,
            "WSL 1 has no Linux kernel, so neither systemd nor a GPU works in it.",
            "In PowerShell: wsl --set-version <distribution> 2",
        )
    if machine.os_id is not None and machine.os_id not in SYSTEMS:
        yield problem(
            SUBJECT,
            f"Its system is {facts.base.os or machine.os_id}, but provisioning supports only "
            "Debian, Ubuntu and Raspberry Pi OS.",
            "Install one of these systems.",
        )
    if not machine.systemd and machine.kind != "wsl1":
        yield problem(
            SUBJECT,
            "systemd is not running, but engines are started as its units.",
            "Add [boot] and systemd=true to /etc/wsl.conf, then in PowerShell: wsl --shutdown"
            if facts.wsl
            else "Boot the machine with systemd as process 1.",
        )
    version = tuple(whole(part) or 0 for part in machine.python.split(".")[:2])
    if version < OLDEST_PYTHON:
        yield problem(
            SUBJECT,
            f"Its Python is {machine.python}, but provisioning needs 3.9 or newer.",
            "Upgrade the system: Debian 12, Ubuntu 22.04 or newer.",
        )
