"""In which state a machine is: whether what is installed stays, runs, and is not slowed down."""

from __future__ import annotations

import os
from typing import Any

from experiments.doctor.probe.place import Place, first_group

PLACES = ("/opt/llama-herd/engines", "/opt/llama-herd", "/opt", "/")
"""Where engines are or will be installed: the first existing folder counts."""
COMPILED_IN = "/var/tmp"  # noqa: S108 - as roles do
FORGETFUL = ("overlay", "overlayfs", "aufs", "tmpfs", "squashfs")
"""File systems of a root that is as before after each boot."""
VCGENCMD = ("/usr/bin/vcgencmd", "/opt/vc/bin/vcgencmd", "/usr/local/bin/vcgencmd")
FIRMWARE = "/sys/devices/platform/*/*firmware*/get_throttled"


def condition(place: Place) -> dict[str, Any]:
    """What of its state would spoil provisioning or measuring."""
    kernel = place.text("/proc/sys/kernel/osrelease")
    lists = (f"/lib/modules/{kernel}", f"/usr/lib/modules/{kernel}")
    folders = (next(filter(place.is_folder, PLACES), "/"), COMPILED_IN)
    return {
        "read_only": is_mounted(place, "/", os.ST_RDONLY),
        "root_type": root_type(place.text("/proc/mounts")),
        "starts_nothing": [one for one in folders if is_mounted(place, one, os.ST_NOEXEC)],
        "has_modules": any(map(place.is_folder, lists)) if kernel else True,
        "dpkg_stopped": bool(place.found("/var/lib/dpkg/updates/[0-9]*")) and not installs(place),
        **throttling(place),
    }


def installs(place: Place) -> bool:
    """Whether dpkg is at work just now, as unattended upgrades let it be."""
    return any(place.text(path) == "dpkg" for path in place.found("/proc/[0-9]*/comm"))


def is_mounted(place: Place, folder: str, flag: int) -> bool:
    """Whether the file system of a folder is mounted so."""
    try:
        return bool(os.statvfs(place.path(folder)).f_flag & flag)
    except OSError:
        return False


def root_type(mounts: str) -> str | None:
    """The file system at `/`: of several, the one that was mounted last."""
    types = [words[2] for words in map(str.split, mounts.splitlines()) if words[1:2] == ["/"]]
    return types[-1] if types else None


def throttling(place: Place) -> dict[str, Any]:
    """Bits of a Raspberry Pi's firmware: since boot if vcgencmd may ask it, else the kernel's."""
    program = next(filter(place.is_program, VCGENCMD), None)
    if program is not None:
        said = place.ask(str(place.path(program)), "get_throttled", seconds=5)
        bits = first_group(r"^throttled=0x([0-9a-fA-F]{1,8})$", said.out)
        if bits is not None:
            return {"throttled": bits, "throttled_since_boot": True}
    for path in place.found(FIRMWARE):
        return {"throttled": place.text(path)[:8] or None, "throttled_since_boot": False}
    return {"throttled": None, "throttled_since_boot": False}
