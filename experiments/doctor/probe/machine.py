"""What kind of machine a node is: Raspberry Pi, PC, container, WSL; how wide its programs are."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from experiments.doctor.probe.place import Place, first_group

WSL_LIBRARIES = "/usr/lib/wsl/lib"
DPKG_STATUS = "/var/lib/dpkg/status"
WINDOWS = "/mnt/c/Windows/System32"
WINDOWS_RULE = "name=llama-herd engines of the guest"
ELF_BITS = {1: 32, 2: 64}
NOT_A_CONTAINER = ("", "none", "wsl")
CLOCK_UNITS = ("chrony", "systemd-timesyncd", "ntpsec", "ntp", "openntpd", "chronyd", "ntpd")
FOLDERS = ("/", "/opt/llama-herd", "/opt/llama-herd/models", "/var/lib/llama-herd")


def machine(place: Place) -> dict[str, Any]:
    """What it is.

    WSL is recognised by its kernel: what asks for virtualisation knows it only in part.
    """
    kernel = place.text("/proc/version")
    container = place.ask("systemd-detect-virt", "--container").out
    release = place.text("/etc/os-release")
    return {
        "kind": kind(place, kernel, container),
        "container": None if container in NOT_A_CONTAINER else container,
        "os_id": first_group(r'^ID="?([^"\n]+)', release),
        "userland_bits": userland_bits(place),
        "dpkg_architecture": dpkg_architecture(place),
        "systemd": place.exists("/run/systemd/system"),
        "clock_units": place.units(*CLOCK_UNITS),
        "python": ".".join(str(number) for number in sys.version_info[:3]),
        "root_without_password": root_without_password(place),
    }


def root_without_password(place: Place) -> bool | None:
    """Return whether sudo asks this user for no password at all; None if unknown.

    The list is asked for; nothing is run as root.
    """
    rules = place.ask("sudo", "-n", "-l", seconds=5)
    if rules.code != 0:
        return None
    return first_group(r"(NOPASSWD:(?:.*[ ,:])?ALL)$", rules.out) is not None


def userland_bits(place: Place) -> int | None:
    """Whether programs are of 32 or 64 bits: the class in the shell's ELF header (elf(5))."""
    head = place.data("/bin/sh", 5)
    return ELF_BITS.get(head[4]) if head[:4] == b"\x7fELF" else None


def dpkg_architecture(place: Place) -> str | None:
    """The architecture that packages are installed for: that of dpkg itself."""
    _, _, stanza = f"\n{place.text(DPKG_STATUS)}".partition("\nPackage: dpkg\n")
    return first_group(r"^Architecture: (.+)$", stanza)


def kind(place: Place, kernel: str, container: str) -> str:
    """One of container, wsl1, wsl2, pi, native."""
    if container not in NOT_A_CONTAINER:
        return "container"
    if "microsoft" in kernel.lower():
        # WSL1 has no kernel: it calls itself 4.4.0-…-Microsoft, with a capital.
        return "wsl1" if "-Microsoft" in kernel and "WSL2" not in kernel else "wsl2"
    if "Raspberry Pi" in place.text("/sys/firmware/devicetree/base/model"):
        return "pi"
    return "native"


def wsl(place: Place) -> dict[str, Any] | None:
    """Return WSL's report about itself; None elsewhere."""
    if "microsoft" not in place.text("/proc/version").lower():
        return None
    mode = place.ask("wslinfo", "--networking-mode")
    version = place.ask("wslinfo", "--wsl-version")
    forwards = place.ask(f"{WINDOWS}/netsh.exe", "interface", "portproxy", "show", "v4tov4")
    rule = place.ask(
        f"{WINDOWS}/netsh.exe", "advfirewall", "firewall", "show", "rule", WINDOWS_RULE
    )
    return {
        "engine_rule": None if rule.code is None else rule.code == 0,
        "version": version.out or None if version.code == 0 else None,
        "networking": mode.out.lower() or None if mode.code == 0 else None,
        "forwards": port_proxies(forwards.out) if forwards.code == 0 else None,
        "windows_libcuda": place.exists(f"{WSL_LIBRARIES}/libcuda.so.1"),
        "linux_libcuda": place.found(
            "/usr/lib/*-linux-gnu/libcuda.so.*",
            "/usr/lib64/libcuda.so.*",
            "/usr/local/cuda*/compat/libcuda.so.*",
        ),
    }


def port_proxies(table: str) -> list[dict[str, Any]]:
    """Lines `address port address port` of netsh; its headings depend on the language."""
    rows = (line.split() for line in table.splitlines())
    return [
        {"port": int(row[1]), "to_address": row[2], "to_port": int(row[3])}
        for row in rows
        if len(row) == 4 and row[1].isdigit() and row[3].isdigit()  # noqa: PLR2004
    ]


def disks(place: Place) -> list[dict[str, Any]]:
    """Room below each of our folders that exists, each file system once."""
    seen: dict[int, dict[str, Any]] = {}
    for folder in FOLDERS:
        path = place.path(folder)
        if place.is_folder(folder):
            usage = shutil.disk_usage(path)
            files = os.statvfs(path)
            told = {
                "path": folder,
                "total_mib": usage.total >> 20,
                "free_mib": usage.free >> 20,
                "free_files": files.f_favail if files.f_files else None,
            }
            seen.setdefault(os.stat(path).st_dev, told)
    return list(seen.values())
