"""How a unit is fenced in: the properties that systemd gets with it."""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import signal
import stat

from herd_node import places
from herd_node.allowed import SWARMING
from herd_node.cards import Shown
from herd_node.ground import DAY_S
from herd_node.messages import Request

USER = "herd"
DENIED_CALLS = [
    *("@clock", "@cpu-emulation", "@debug", "@module", "@mount", "@obsolete"),
    *("@privileged", "@raw-io", "@reboot", "@resources", "@swap"),
]
"""Groups of system calls that no engine needs. To list what it may call costs 17 ms a unit."""
CONFINEMENT = (
    *("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "RemoveIPC"),
    *("ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules"),
    *("LockPersonality", "MemoryDenyWriteExecute", "RestrictRealtime", "RestrictSUIDSGID"),
)
"""Fences that systemd 247 knows and that cost next to nothing. What is left out hides parts of
/proc and /sys: by a mount each, 40 ms a unit together."""
GPU_GROUPS = ("gpu", "nvidia", "render", "vglusers", "video")
"""Groups that such a device may be for. A unit joins no other: docker, disk, adm … open more."""
ALL_MAY = stat.S_IROTH | stat.S_IWOTH
GROUP_MAY = stat.S_IRGRP | stat.S_IWGRP
MOST_TASKS = 4096
FILE_BYTES = 128 << 20
"""No file of an engine grows beyond it, which means its two logs: systemd ends it by SIGXFSZ."""
SHARED_BYTES = 1 << 30
"""The same limit for Petals, whose processes hand each other activations as files in memory."""


def properties(unit: str, request: Request, engine: str, gpu: Shown | None) -> list[list[object]]:
    """Name, type and value of each property of a unit, as systemd's bus takes them.

    Args:
        unit: its name.
        request: what is to be started in it.
        engine: whose rights it has; empty for the client.
        gpu: what it is shown of a GPU; None for one that uses none.
    """
    swarming = engine == SWARMING
    return [
        *texts(unit, swarming=swarming),
        *switches(swarming=swarming, gpu=gpu),
        *limits(request, swarming=swarming),
        # systemd comes as near to it as it may: in a container often not at all.
        ["Nice", "i", ctypes.c_int(-20)],
        ["KillSignal", "i", ctypes.c_int(signal.SIGINT if swarming else signal.SIGTERM)],
        ["UMask", "u", ctypes.c_uint(0o077)],
        *calls(swarming=swarming),
        listed("Environment", assignments(request.listed["env"], gpu.environment if gpu else [])),
        started(request.listed["arg"]),
        *showing(gpu.paths if gpu else []),
        *(keeping() if gpu else []),
    ]


def keeping() -> list[list[object]]:
    """A folder that outlives a unit, which would compile for its GPU for a minute without it."""
    return [
        listed("CacheDirectory", [os.path.basename(places.GPU_CACHE)]),
        ["CacheDirectoryMode", "u", ctypes.c_uint(0o700)],
    ]


def assignments(asked: list[str], ours: list[str]) -> list[str]:
    """Variables of a unit, each once: systemd refuses a unit that has one twice. Ours count."""
    return list({one.partition("=")[0]: one for one in (*asked, *ours)}.values())


def texts(unit: str, *, swarming: bool) -> list[list[object]]:
    """Whose the unit is, what of the disk it sees, and where its words go."""
    named = [
        ("Description", "an engine of llama-herd"),
        ("Slice", "system.slice"),
        ("Type", "simple"),
        ("User", USER),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("StandardOutputFileToAppend", f"{places.ATTEMPTS}/{unit}.out"),
        ("StandardErrorFileToAppend", f"{places.ATTEMPTS}/{unit}.err"),
        ("WorkingDirectory", "/"),
        ("KillMode", "mixed" if swarming else "control-group"),
    ]
    return [[name, "s", word] for name, word in named]


def switches(*, swarming: bool, gpu: Shown | None) -> list[list[object]]:
    """Fences, and what systemd counts."""
    lifted = set()
    # Mesa's software compiles a program for the CPU and runs it; without this it ends by SIGSEGV.
    if swarming or (gpu and gpu.backend == "vulkan"):
        lifted.add("MemoryDenyWriteExecute")
    if gpu and gpu.paths:
        lifted.add("PrivateDevices")
    # Counting IP bytes costs 18 ms a unit, and tells something only with cgroup v2.
    counts_bytes = os.path.exists(f"{places.CGROUPS}/cgroup.controllers")
    named = [
        *((name, name not in lifted) for name in CONFINEMENT),
        ("RemainAfterExit", True),
        ("CPUAccounting", True),
        ("MemoryAccounting", True),
        ("IPAccounting", counts_bytes),
    ]
    return [[name, "b", switch] for name, switch in named]


def limits(request: Request, *, swarming: bool) -> list[list[object]]:
    """Of time, memory, tasks and files; no capability and no namespace."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    file_bytes = SHARED_BYTES if swarming else FILE_BYTES
    named = [
        ("RuntimeMaxUSec", request.number("deadline", 2 * DAY_S, least=1) * 1_000_000),
        ("TimeoutStopUSec", 5_000_000),
        ("CapabilityBoundingSet", 0),
        ("RestrictNamespaces", 0),
        ("LimitMEMLOCK", 2**64 - 1),
        ("LimitMEMLOCKSoft", 2**64 - 1),
        ("LimitCORE", 0),
        ("LimitCORESoft", 0),
        ("LimitFSIZE", file_bytes),
        ("LimitFSIZESoft", file_bytes),
        # The rest is the node's own: SSH, systemd and this program must go on.
        ("MemoryMax", memory_bytes - memory_bytes // 16),
        ("TasksMax", MOST_TASKS),
    ]
    return [[name, "t", ctypes.c_uint64(number)] for name, number in named]


def calls(*, swarming: bool) -> list[list[object]]:
    """Which sockets it may open, and which system calls fail."""
    families = ["AF_INET", "AF_INET6", "AF_UNIX", *(["AF_NETLINK"] if swarming else [])]
    count = ctypes.c_uint(len(families))
    denied = ctypes.c_uint(len(DENIED_CALLS))
    return [
        ["RestrictAddressFamilies", "(bas)", True, count, *families],
        ["SystemCallFilter", "(bas)", False, denied, *DENIED_CALLS],
        # The call fails; without this it would kill.
        ["SystemCallErrorNumber", "i", ctypes.c_int(errno.EPERM)],
        listed("SystemCallArchitectures", ["native"]),
    ]


def listed(name: str, words: list[str]) -> list[object]:
    """A property that is a list of texts."""
    return [name, "as", ctypes.c_uint(len(words)), *words]


def started(argv: list[str]) -> list[object]:
    """The one command of a unit, whose failure counts as one."""
    count = ctypes.c_uint(len(argv))
    return ["ExecStart", "a(sasb)", ctypes.c_uint(1), argv[0], count, *argv, False]


def showing(devices: list[str]) -> list[list[object]]:
    """Properties that let a unit use these devices and no others; none if there are none."""
    if not devices:
        return []
    allowed = [word for path in devices for word in (path, "rw")]
    groups = sorted(set(filter(None, map(group_needed, devices))))
    return [
        ["DevicePolicy", "s", "closed"],
        ["DeviceAllow", "a(ss)", ctypes.c_uint(len(devices)), *allowed],
        listed("SupplementaryGroups", groups),
    ]


def group_needed(path: str) -> str:
    """The group (a number) through which alone a GPU may be used; empty if all may, or none."""
    status = os.lstat(path)
    if status.st_mode & ALL_MAY == ALL_MAY or status.st_mode & GROUP_MAY != GROUP_MAY:
        return ""
    try:
        name = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        return ""
    return str(status.st_gid) if name in GPU_GROUPS else ""
