"""The lab of virtual nodes, seen from the controller: up, down, and how it is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import HerdError
from core.json_answer import JsonAnswer
from core.paths import PROJECT_FOLDER
from experiments.fleet.programs import ansible_environment, beside_python

STATE_FILE = PROJECT_FOLDER / ".lab" / "state.json"
MOST_NODES = 16
CGROUPS = Path("/sys/fs/cgroup")
RELEASES = ("bookworm", "trixie")
"""Systems that nodes can have although the controller has another, as role lab_host knows them."""
LAB_IS_DOWN = "The lab is down. Bring it up with: fab lab-up --nodes 8"
_NET_ADMIN_BIT = 12
_SYS_ADMIN_BIT = 21


@dataclass(frozen=True, slots=True)
class LabNode:
    """A virtual node.

    Attributes:
        state: as Podman says it: `running`, `paused`, `exited`, or `missing`.
        link_mbit: rate of its link in each direction; None if the link is not shaped (as after
            a restart of the node) or the node does not run.
        memory: its limit, `2048 MiB`.
        cpus: its limit, in cores, that is in force; None if it does not run or has none.
        architecture: of its programs, as Debian names it; empty where the lab came up before this
            was written down.
        release: its system's code name, `trixie`; empty where the lab came up before this was
            written down.
        is_emulated: its programs run under qemu-user, ten to fifty times slower than natively.
        gpu: `vulkan` where it has Mesa's software Vulkan driver, else `none`.
    """

    name: str
    address: str
    state: str
    link_mbit: int | None
    memory: str
    cpus: float | None
    architecture: str
    release: str
    is_emulated: bool
    gpu: str = "none"


class LabAnswer(JsonAnswer):
    """What `fab lab-status --json` prints; no nodes while the lab is down."""

    nodes: tuple[LabNode, ...]


def lab_is_up(gateway: str) -> bool:
    """Whether this machine owns the lab's gateway address.

    Binding a UDP socket to it shows that, and sends no packet.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((gateway, 0))
        except OSError:
            return False
    return True


def lab_obstacle() -> str | None:
    """Why this machine cannot hold a lab, in one sentence; None if nothing speaks against it."""
    if shutil.which("apt-get") is None:
        return "the lab needs Debian or Ubuntu (there is no apt-get here)"
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            return "the lab needs root, and there is no sudo here"
        if not sys.stdin.isatty() and not _succeeds("sudo", "--non-interactive", "true"):
            return "the lab needs root, and sudo asks for a password here"
        return None
    bounds = _capabilities()
    if not (bounds >> _SYS_ADMIN_BIT & 1 and bounds >> _NET_ADMIN_BIT & 1):
        return (
            "the lab needs a root user that may create namespaces and network devices "
            "(capabilities SYS_ADMIN and NET_ADMIN), which ordinary containers do not have"
        )
    return None


def lab_up(nodes: int, arm64: int = 0, release: str = "", vulkan: str = "") -> None:
    """Bring up the lab with so many nodes, or change the one that is up; shows its progress.

    Args:
        nodes: how many.
        arm64: how many of them, the last ones, are emulated arm64 nodes.
        release: their systems, `bookworm,trixie`, which the nodes get in turn; empty means the
            controller's own.
        vulkan: names of those with a software Vulkan driver, `pi1,pi3`.

    Raises:
        HerdError: the count is impossible, this machine cannot hold a lab, or it did not come up.
    """
    if not 1 <= nodes <= MOST_NODES:
        raise HerdError(f"The lab can have 1 to {MOST_NODES} nodes, not {nodes}.")
    if not 0 <= arm64 <= nodes:
        raise HerdError(f"Of {nodes} nodes, 0 to {nodes} can be arm64 nodes, not {arm64}.")
    releases = _releases(release, nodes)
    with_vulkan = _with_vulkan(vulkan, nodes, arm64)
    obstacle = lab_obstacle()
    if obstacle is not None:
        raise HerdError(f"The lab cannot come up: {obstacle}.")
    variables: dict[str, object] = {"lab_nodes": nodes, "lab_arm64": arm64}
    variables |= {"lab_release": releases, "lab_vulkan": with_vulkan}
    _play("bringing up the lab", {"lab_state": "present", **variables})


def _with_vulkan(asked: str, nodes: int, arm64: int) -> list[str]:
    """Names of nodes that were asked for; nothing stands for none.

    Raises:
        HerdError: the lab will not have one of them, or it is emulated.
    """
    names = [one.strip() for one in asked.split(",")] if asked.strip() else []
    known = [f"pi{number}" for number in range(1, nodes + 1)]
    emulated = known[nodes - arm64 :]
    for one in names:
        if one not in known:
            raise HerdError(
                f"--vulkan {asked}: {one!r} is not one of {', '.join(known)}. Separate several "
                "with commas: --vulkan pi1,pi3."
            )
        if one in emulated:
            raise HerdError(
                f"--vulkan {asked}: {one} is an emulated arm64 node, and software Vulkan there is "
                "not supported. Name amd64 nodes, which come first."
            )
    return names


def _releases(asked: str, nodes: int) -> list[str]:
    """What was asked for as a list; nothing stands for nothing.

    Raises:
        HerdError: one is not known, or there are more than nodes.
    """
    releases = [one.strip() for one in asked.split(",")] if asked.strip() else []
    known = ", ".join(RELEASES)
    for one in releases:
        if one not in RELEASES:
            raise HerdError(
                f"--release {asked}: {one!r} is not one of {known}. Separate several with "
                "commas: --release bookworm,trixie."
            )
    if len(releases) > nodes:
        raise HerdError(
            f"--release {asked}: {len(releases)} releases for {nodes} "
            f"node{'s' if nodes > 1 else ''}. The nodes use them in turn, so each release needs "
            "a node."
        )
    return releases


def lab_down() -> None:
    """Take the lab down; only the cached image and the lab's key pair stay.

    Raises:
        HerdError: it could not be taken down.
    """
    obstacle = lab_obstacle()
    if obstacle is not None:
        raise HerdError(f"The lab cannot be taken down: {obstacle}.")
    _play("taking down the lab", {"lab_state": "absent"})


def lab_status(state_file: Path = STATE_FILE) -> list[LabNode]:
    """Every node that the lab has, in order; empty while the lab is down.

    Raises:
        HerdError: Podman cannot be asked (no root).
    """
    try:
        lab: dict[str, Any] = json.loads(state_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    containers = _inspect(lab["network"])
    return [_node(entry, lab, containers.get(entry["name"])) for entry in lab["nodes"]]


def _node(entry: dict[str, Any], lab: dict[str, Any], container: dict[str, Any] | None) -> LabNode:
    state = str(container["State"]["Status"]) if container else "missing"
    pid = int(container["State"]["Pid"]) if container else 0
    return LabNode(
        name=entry["name"],
        address=entry["address"],
        state=state,
        link_mbit=_link_mbit(pid) if pid else None,
        memory=f"{(lab | entry)['memory_mib']} MiB",
        cpus=_cpus(container["State"].get("CgroupPath", "")) if container and pid else None,
        architecture=entry.get("architecture", ""),
        release=entry.get("release", ""),
        is_emulated=entry.get("emulated", False),
        gpu=entry.get("gpu", "none"),
    )


def _inspect(network: str) -> dict[str, dict[str, Any]]:
    listed = _ask(
        [
            "podman",
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            f"--filter=label=llama-herd.lab={network}",
        ]
    ).split()
    if not listed:
        return {}
    return {item["Name"]: item for item in json.loads(_ask(["podman", "inspect", *listed]))}


def _cpus(group: str) -> float | None:
    """Cores that a control group may use; None where nothing limits it.

    Args:
        group: its path as Podman says it, `/libpod_parent/libpod-…`.
    """
    at = Path(group.strip("/"))
    for folder in (CGROUPS / at, CGROUPS / "cpu" / at):
        quota = _content(folder / "cpu.max") or " ".join(
            _content(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
        )
        parts = quota.split()
        if len(parts) == len(("quota", "period")) and all(part.isdigit() for part in parts):
            return int(parts[0]) / int(parts[1])
    return None


def _content(file: Path) -> str:
    """Text of a file; empty if it is not there."""
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""


def _link_mbit(pid: int) -> int | None:
    """Rate of a node's own end; None where no token bucket limits it."""
    said = _ask(
        ["nsenter", "--target", str(pid), "--net", "tc", "-json", "qdisc", "show", "dev", "eth0"]
    )
    rates = [one["options"]["rate"] for one in json.loads(said or "[]") if one["kind"] == "tbf"]
    return int(rates[0]) * 8 // 1_000_000 if rates else None


def _play(doing: str, variables: Mapping[str, object]) -> None:
    argv = [beside_python("ansible-playbook"), "-i", "localhost,", "playbooks/lab.yml"]
    argv += [f"--extra-vars={json.dumps(variables)}"]
    if os.geteuid() != 0 and not _succeeds("sudo", "--non-interactive", "true"):
        argv.append("--ask-become-pass")
    environment = ansible_environment(PROJECT_FOLDER)
    code = subprocess.run(argv, cwd=PROJECT_FOLDER, env=environment, check=False).returncode
    if code != 0:
        raise HerdError(
            f"Something went wrong while {doing}: Ansible ended with {code}, and its last "
            "message above names the step. To start over: fab lab-down, then fab lab-up."
        )


def _ask(argv: Sequence[str]) -> str:
    """Standard output of a command that needs root.

    Raises:
        HerdError: it failed.
    """
    prefix = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    try:
        done = subprocess.run([*prefix, *argv], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise HerdError(
            f"The state of the lab cannot be read without {error.filename}, which is not "
            "installed here; fab lab-up installs what the lab needs."
        ) from error
    if done.returncode != 0:
        raise HerdError(
            f"Reading the state of the lab: {argv[0]} ended with {done.returncode}: "
            f"{done.stderr.strip()}. It needs root: run sudo -v first, or run this as root."
        )
    return done.stdout


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _capabilities() -> int:
    """The capability bounding set of this process (`proc(5)`, CapBnd)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0
