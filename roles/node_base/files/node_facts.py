#!/usr/bin/python3 -IS
"""What a node is, as one line of JSON: the provenance of what is measured on it.

    node-facts INTERFACE

INTERFACE is the network interface that engines use. What a node does not report is null. What
changes from one trial to the next (temperature, frequency, throttling) is not here: herd-node reads
it before and after each. It needs only Python 3.9 and its standard library.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Union

Fact = Union[bool, int, float, str, None]

ROOT = Path("/")
TREE = "sys/firmware/devicetree/base"
CPU = "sys/devices/system/cpu"
CGROUPS = "sys/fs/cgroup"
SECONDS = 20
"""How long a program that is asked may take."""
HASH_DIGITS = 16
# "CPU part" of Arm's own cores in Raspberry Pis and in boards that have two kinds.
CORES = {
    "0xd03": "Cortex-A53",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd05": "Cortex-A55",
    "0xd09": "Cortex-A73",
    "0xd41": "Cortex-A78",
}
CLOCK_SERVICES = ("systemd-timesyncd", "chrony", "ntpsec", "ntp", "openntpd")
NET = "sys/class/net"
RADIO = ("wireless", "phy80211")
LENT = ("hv_netvsc", "virtio_net", "vmxnet3", "xen_netfront", "vif", "ena", "gve")
"""Drivers of devices that a hypervisor provides to its guests; herd-node has them, too."""
TIME_ERROR = 5
"""What adjtimex(2) returns while the clock is not synchronised."""


def content(path: str) -> str | None:
    """A file's text without the NUL and blanks at its end; None if it is missing or empty."""
    try:
        data = (ROOT / path).read_bytes()
    except OSError:
        return None
    return data.decode("utf-8", "replace").strip().strip("\0") or None


def number(text: str | None) -> int | None:
    """A whole number that is not negative; None for anything else (-1 is sysfs for unknown)."""
    return int(text) if text and text.isdigit() else None


def big_endian(path: str) -> int | None:
    """A number of the device tree."""
    try:
        return int.from_bytes((ROOT / path).read_bytes(), "big")
    except OSError:
        return None


def said(*argv: str) -> str:
    """What a program prints; empty if it is not there or takes too long."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def found(pattern: str, text: str | None) -> str | None:
    """The first group of the first line that a pattern fits."""
    match = re.search(pattern, text or "", re.MULTILINE)
    return match[1].strip() or None if match else None


def machine() -> dict[str, Fact]:
    """Which machine it is, without revealing its secrets: both identities are hashed."""
    identity = content("etc/machine-id")
    cpu = content("proc/cpuinfo")
    serial = content(f"{TREE}/serial-number") or found(r"^Serial\s*: (.+)$", cpu) or ""
    revision = big_endian(f"{TREE}/system/linux,revision")
    built_s = big_endian(f"{TREE}/chosen/bootloader/build-timestamp")
    return {
        # As machine-id(5) wants it told to others: keyed with it, not the thing itself.
        "machine_id": identity
        and hmac.new(identity.encode(), b"llama-herd", "sha256").hexdigest()[:HASH_DIGITS],
        "boot_id": content("proc/sys/kernel/random/boot_id"),
        "board": content(f"{TREE}/model") or content("sys/class/dmi/id/product_name"),
        "board_revision": f"{revision:x}" if revision else found(r"^Revision\s*: (.+)$", cpu),
        "serial_hash": hidden(serial) if serial.strip("0") else None,
        "bootloader": time.strftime("%Y-%m-%d", time.gmtime(built_s)) if built_s else None,
        "virtualisation": said("systemd-detect-virt") or None,
        "emulated": is_emulated(),
    }


def hidden(serial: str) -> str:
    """A hash of a board's serial number, slow because 32 bits of it could be tried out."""
    made = hashlib.scrypt(serial.encode(), salt=b"llama-herd", n=2**14, r=8, p=1)
    return made.hex()[:HASH_DIGITS]


def is_emulated() -> bool:
    """Whether programs run under qemu-user: then process 1 is the emulator itself."""
    try:
        program = os.readlink("/proc/1/exe")  # noqa: PTH115
    except OSError:
        return False
    return os.path.basename(program).startswith("qemu-")  # noqa: PTH119


def processor() -> dict[str, Fact]:
    """The processor and how it is clocked."""
    cpu = content("proc/cpuinfo")
    parts = dict.fromkeys(re.findall(r"^CPU part\s*: (.+)$", cpu or "", re.MULTILINE))
    frequencies = f"{CPU}/cpu0/cpufreq"
    fastest_khz = number(content(f"{frequencies}/cpuinfo_max_freq"))
    return {
        "cpu_model": " and ".join(CORES.get(part, f"Arm core {part}") for part in parts)
        if parts
        else found(r"^model name\s*: (.+)$", cpu),
        "cores": cores(),
        "cpu_quota": quota(),
        "max_frequency_mhz": None if fastest_khz is None else fastest_khz // 1000,
        "governor": content(f"{frequencies}/scaling_governor"),
    }


def cores() -> int:
    """Cores, or what a container's CPU quota leaves of them."""
    there = len(os.sched_getaffinity(0))
    allowed = quota()
    return there if allowed is None else min(there, max(1, int(allowed)))


def quota() -> float | None:
    """Cores that a container may use on average, `0.25`; None without a quota."""
    told = content(f"{CGROUPS}/cpu.max")
    if told is None:
        names = ("cfs_quota_us", "cfs_period_us")
        told = " ".join(content(f"{CGROUPS}/cpu/cpu.{name}") or "" for name in names)
    allowed_us, period_us = (number(part) for part in told.partition(" ")[::2])
    if allowed_us is None or not period_us:
        return None
    return round(allowed_us / period_us, 3)


def memory() -> dict[str, Fact]:
    """RAM that programs may use, and where pages go that do not fit."""
    kernel = content("proc/meminfo")
    total_kib, free_kib = (
        number(found(rf"^{name}: +(\d+)", kernel)) for name in ("MemTotal", "MemAvailable")
    )
    limit_bytes = number(
        content(f"{CGROUPS}/memory.max") or content(f"{CGROUPS}/memory/memory.limit_in_bytes")
    )
    limits = [total_kib and total_kib // 1024, limit_bytes and limit_bytes >> 20]
    rooms = [] if free_kib is None else [free_kib // 1024]
    used_bytes = used()
    if rooms and limit_bytes is not None and used_bytes is not None:
        rooms.append((limit_bytes - used_bytes) >> 20)
    swaps = [line.split() for line in (content("proc/swaps") or "").splitlines()[1:]]
    kinds = ("zram" if "zram" in swap[0] else swap[1] for swap in swaps)
    return {
        "memory_mib": min((limit for limit in limits if limit), default=None),
        # What a new process can have without swapping: the page cache counts as free.
        "available_mib": max(1, min(rooms)) if rooms else None,
        "page_size": os.sysconf("SC_PAGE_SIZE"),
        "swap_mib": sum(int(swap[2]) for swap in swaps) // 1024,
        "swap_kinds": ", ".join(sorted(set(kinds))) or None,
    }


def used() -> int | None:
    """Bytes that a container uses and cannot give back; None where nothing is counted."""
    for folder, total, prefix in (
        (CGROUPS, "memory.current", ""),
        (f"{CGROUPS}/memory", "memory.usage_in_bytes", "total_"),
    ):
        counted = number(content(f"{folder}/{total}"))
        told = content(f"{folder}/memory.stat")
        # Files that were read lately are given back like all others: a gigabyte of libraries.
        cached = [
            number(found(rf"^{prefix}{kind}_file (\d+)$", told)) for kind in ("inactive", "active")
        ]
        if counted is not None and cached[0] is not None:
            return max(0, counted - sum(part or 0 for part in cached))
    return None


def system() -> dict[str, Fact]:
    """Operating system, kernel, compiler."""
    kernel = os.uname()
    return {
        "architecture": kernel.machine,
        "kernel": kernel.release,
        "os": found(r'^PRETTY_NAME="?([^"\n]+)', content("etc/os-release")),
        "compiler": said("g++", "--version").partition("\n")[0] or None,
    }


def network(interface: str) -> dict[str, Fact]:
    """The interface that engines use.

    Cable or radio, and its speed, are known only of a device that this system drives. What a
    hypervisor (Windows' for WSL, too) or a container is given has a speed that is made up.
    """
    devices = driven(interface)
    radios = [any((ROOT / NET / name / kind).exists() for kind in RADIO) for name in devices]
    told = [number(content(f"{NET}/{name}/speed")) for name in devices]
    speeds = [speed for speed in told if speed is not None]
    return {
        "nic": interface,
        "nic_driver": driver_of(devices[0] if devices else interface),
        "wireless": any(radios) if devices else None,
        "link_mbit": min(speeds) if speeds and len(speeds) == len(devices) else None,
        "address_leased": is_leased(interface),
    }


def driven(interface: str, depth: int = 4) -> list[str]:
    """Devices with a driver of hardware below an interface: itself, or of a bridge, bond, VLAN."""
    lower = [path.name[len("lower_") :] for path in (ROOT / NET / interface).glob("lower_*")]
    if not lower or depth == 0:
        driver = driver_of(interface)
        is_radio = any((ROOT / NET / interface / kind).exists() for kind in RADIO)
        is_wired = driver and driver not in LENT and not is_guest()
        return [interface] if is_radio or is_wired else []
    return sorted({device for name in lower for device in driven(name, depth - 1)})


def is_guest() -> bool:
    """Whether this is a virtual machine, whose cards (e1000, as VirtualBox has) may be made up."""
    return found(r"^flags\s*:.* (hypervisor)\b", content("proc/cpuinfo")) is not None


def driver_of(interface: str) -> str | None:
    """The driver of an interface's device; None for one without a device."""
    driver = ROOT / NET / interface / "device" / "driver"
    return driver.resolve().name if driver.exists() else None


def is_leased(interface: str) -> bool | None:
    """Whether each IPv4 address of an interface runs out unless renewed, as those by DHCP do."""
    shown = said("ip", "-oneline", "-4", "address", "show", "dev", interface, "scope", "global")
    return all(" dynamic " in line for line in shown.splitlines()) if shown else None


def clock() -> dict[str, Fact]:
    """Who sets the clock, whether the kernel counts it as set, and the kernel's error bound.

    adjtimex(2): the fourth of `struct timex`'s members of 64 bits is `maxerror` in microseconds.
    """
    states = said("systemctl", "is-active", *CLOCK_SERVICES).split()
    running = [name for name, state in zip(CLOCK_SERVICES, states) if state == "active"]
    timex = (ctypes.c_long * 32)()
    state = ctypes.CDLL(None).adjtimex(timex)
    synchronised = state not in (-1, TIME_ERROR)
    return {
        "clock_service": running[0] if running else None,
        "clock_synchronised": synchronised,
        "clock_max_error_ms": timex[3] / 1000 if synchronised else None,
    }


def facts(interface: str) -> dict[str, Fact]:
    """All of it."""
    return {
        **machine(),
        **processor(),
        **memory(),
        **system(),
        **network(interface),
        **clock(),
    }


if __name__ == "__main__":
    print(json.dumps(facts(sys.argv[1])))
