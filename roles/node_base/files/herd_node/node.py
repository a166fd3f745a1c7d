"""What the node is like, and what state it is in."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import stat
import sys
import time
from collections.abc import Iterator

from herd_node import VERSION, places, privileges
from herd_node.ground import RefusalError, content, entries, first_line
from herd_node.messages import Reply
from herd_node.meters import Throttling

LENT = ("hv_netvsc", "virtio_net", "vmxnet3", "xen_netfront", "vif", "ena", "gve")
"""Drivers of network devices that a hypervisor provides to its guests: their speed is made up."""
LISTEN = "0A"
"""State of a socket in /proc/net/tcp."""


def network_interface(address: str = "") -> str:
    """The interface that has this IPv4 address; else that of the default route, or the first."""
    if re.fullmatch(r"[0-9.]{7,15}", address):
        shown = privileges.asked("/usr/bin/ip", "-oneline", "-4", "address", "show", "to", address)
        words = shown.stdout.decode("utf-8", "replace").split()
        if words[1:2]:
            return words[1]
    for line in content("/proc/net/route").splitlines():
        words = line.split()
        if len(words) > 1 and words[1] == "00000000":
            return words[0]
    names = sorted(name for name in os.listdir("/sys/class/net") if name != "lo")
    return names[0] if names else "lo"


def swap_pages() -> int:
    """Pages swapped in and out since boot."""
    lines = (line.split() for line in content("/proc/vmstat").splitlines())
    return sum(int(words[1]) for words in lines if words[0] in ("pswpin", "pswpout"))


def reading(interface: str, throttling: Throttling) -> dict[str, object]:
    """The state of the node at this moment."""
    return {
        "clock_s": f"{time.time():.6f}",
        "uptime_s": f"{time.clock_gettime(time.CLOCK_BOOTTIME):.6f}",
        "throttled": throttling.bits(),
        "throttled_meanwhile": throttling.seen(),
        "temperature_mc": first_line("/sys/class/thermal/thermal_zone0/temp"),
        "frequency_khz": first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"),
        "swap_pages": swap_pages(),
        "link_mbit": None if is_guest() else link_mbit(interface),
    }


def is_guest(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether this is a virtual machine, whose network card is made up: as node-facts finds it."""
    return re.search(r"^flags\s*:.* hypervisor\b", content(cpuinfo), re.MULTILINE) is not None


def link_mbit(interface: str, folder: str = "/sys/class/net") -> str | None:
    """The slowest speed below an interface; None where a device reports one that is made up."""
    speeds = []
    for name in driven(interface, folder):
        speed = first_line(f"{folder}/{name}/speed")
        if not speed.isdigit():  # -1 is sysfs for unknown
            return None
        speeds.append(int(speed))
    return str(min(speeds)) if speeds else None


def driven(interface: str, folder: str, depth: int = 4) -> list[str]:
    """Devices with a driver of hardware below an interface, as node-facts finds them."""
    below = glob.glob(f"{folder}/{interface}/lower_*")
    if not below or depth == 0:
        driver = os.path.realpath(f"{folder}/{interface}/device/driver")
        is_there = os.path.exists(driver) and os.path.basename(driver) not in LENT
        return [interface] if is_there else []
    names = (path.rpartition("/lower_")[2] for path in below)
    return [device for name in names for device in driven(name, folder, depth - 1)]


def listening_inodes(port: int) -> list[str]:
    """Sockets that listen on a port, as the kernel says: connecting to ask kills some workers."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in content(table).splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                found.append(words[9])
    return found


def holder(inodes: list[str]) -> str:
    """Who holds one of these sockets."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for handle in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{handle}") in wanted:
                    return f"{first_line(f'/proc/{pid}/comm')} (process {pid})"
    return "another program"


def facts(reply: Reply, interface: str) -> None:
    """What the node is and what is installed on it."""
    told = privileges.asked(sys.executable, "-IS", places.NODE_FACTS, interface)
    if told.returncode != 0:
        last = told.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise RefusalError(f"{places.NODE_FACTS} failed: {last}")
    reply.part("helper", f"{VERSION}\n")
    reply.part("facts", told.stdout)
    for engine in entries(places.ENGINES):
        stamp = content(f"{places.ENGINES}/{engine}/install.json")
        if stamp:
            reply.part(f"install.{engine}", stamp)
    for slug in entries(places.MODELS):
        manifest = content(f"{places.MODELS}/{slug}/manifest.json")
        if manifest:
            reply.part(f"manifest.{slug}", manifest)
            reply.part(f"files.{slug}", "\n".join(described(f"{places.MODELS}/{slug}")))


def described(folder: str) -> Iterator[str]:
    """Size in bytes, time of change in nanoseconds and path of each file."""
    for name in entries(folder):
        status = os.lstat(f"{folder}/{name}")
        if stat.S_ISREG(status.st_mode):
            yield f"{status.st_size} {status.st_mtime_ns} {folder}/{name}"
