"""Whether the kernel lets root's systemds watch files in so many more nodes."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.lab_podman import LabError

PROC = Path("/proc")
SETTING = "fs.inotify.max_user_instances"
OF_A_NODE = 6
"""Instances of root's that a node takes: systemd four, logind one; one more while it boots."""
REMEDY = 1024


def refuse_too_many(nodes: int) -> None:
    """Say that so many more nodes would not boot, before they are started.

    Raises:
        LabError: root has too few inotify instances left.
    """
    most = int((PROC / "sys" / SETTING.replace(".", "/")).read_text(encoding="ascii"))
    free = max(0, most - instances_in_use())
    if nodes * OF_A_NODE > free:
        raise LabError(
            f"{nodes} more nodes would not boot: they need about {nodes * OF_A_NODE} inotify "
            f"instances of root's, and of {most} are {free} free; allow more "
            f"(sysctl {SETTING}={max(REMEDY, 2 * most)}), or ask for fewer nodes"
        )


def instances_in_use() -> int:
    """Return the inotify instances of root's processes, in any container."""
    return sum(_instances(entry) for entry in PROC.iterdir() if entry.name.isdigit())


def _instances(process: Path) -> int:
    try:
        if process.stat().st_uid != os.geteuid():
            return 0
        links = [str(link.readlink()) for link in (process / "fd").iterdir()]
    except OSError:  # it ended meanwhile
        return 0
    return links.count("anon_inode:inotify")
