"""Podman as the lab uses it: its commands, and its reports about containers and networks."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

LAB_LABEL = "llama-herd.lab"
SPEC_LABEL = "llama-herd.spec"
ARCHITECTURE_LABEL = "llama-herd.emulates"
TIDYING_S = 15


class LabError(Exception):
    """What was being done, on which node, and what the program said."""


def run(*argv: str, doing: str) -> str:
    """Standard output of a command.

    Raises:
        LabError: the command failed.
    """
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"{doing}: {argv[0]} ended with {done.returncode}: {said}")
    return done.stdout


def succeeds(*argv: str) -> bool:
    """Whether a command is there and ends with 0."""
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class NodeSpec:
    """The wanted state of a node.

    Attributes:
        tmpfs: folder in the node to the size of a file system in memory.
        emulates: the architecture of its programs if that is not this machine's.
        board: folder with `cpuinfo` and `firmware/` of the board that an emulated node shows.
    """

    name: str
    address: str
    image: str
    network: str
    memory_mib: int
    cpus: float
    pids: int
    tmpfs: dict[str, str] = field(default_factory=dict)
    emulates: str | None = None
    board: str = ""

    def argv(self) -> list[str]:
        """The command that makes this node from nothing."""
        limits = [f"--memory={self.memory_mib}m", f"--memory-swap={self.memory_mib}m"]
        limits += [f"--cpus={self.cpus:g}", f"--pids-limit={self.pids}", "--shm-size=64m"]
        disks = [
            f"--tmpfs={folder}:size={size},mode=0755,exec" for folder, size in self.tmpfs.items()
        ]
        command = ["podman", "run", "--detach", f"--name={self.name}", f"--hostname={self.name}"]
        command += [f"--network={self.network}", f"--ip={self.address}", *limits, *disks]
        # NET_ADMIN for the node's own firewall; nothing else beyond an ordinary container.
        command += ["--cap-add=NET_ADMIN", "--systemd=always", "--restart=always", "--pull=never"]
        command += [f"--label={LAB_LABEL}={self.network}"]
        if self.emulates:
            command += self._disguise(self.emulates)
        return [*command, self.image]

    def _disguise(self, architecture: str) -> list[str]:
        """Options that make a node another kind of machine, as far as files can."""
        return [
            f"--arch={architecture}",
            f"--label={ARCHITECTURE_LABEL}={architecture}",
            "--env=QEMU_CPU=cortex-a72",
            f"--volume={self.board}/cpuinfo:/proc/cpuinfo:ro",
            f"--volume={self.board}/firmware:/sys/firmware:ro",
            "--security-opt=unmask=/sys/firmware",
        ]

    def digest(self) -> str:
        """Changes whenever the node would have to be recreated."""
        return sha256(json.dumps(self.argv()).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Container:
    """A container as Podman sees it; `lab` is None for containers that are not ours."""

    name: str
    lab: str | None
    emulates: str | None
    spec: str | None
    state: str


def containers() -> list[Container]:
    """Return every container of this machine, in any state."""
    listed = json.loads(
        run("podman", "ps", "--all", "--format=json", doing="listing containers") or "[]"
    )
    return [
        Container(
            name=item["Names"][0],
            lab=(item.get("Labels") or {}).get(LAB_LABEL),
            emulates=(item.get("Labels") or {}).get(ARCHITECTURE_LABEL),
            spec=(item.get("Labels") or {}).get(SPEC_LABEL),
            state=item["State"],
        )
        for item in listed
    ]


def start_new(spec: NodeSpec) -> None:
    """Make a node and boot it."""
    *options, image = spec.argv()
    label = f"--label={SPEC_LABEL}={spec.digest()}"
    run(*options, label, image, doing=f"starting node {spec.name}")


def process_ids(names: list[str]) -> dict[str, int]:
    """The PID 1 of each node, as this machine counts; 0 for one that does not run."""
    inspected = json.loads(run("podman", "inspect", *names, doing="looking at the nodes"))
    return {item["Name"]: int(item["State"]["Pid"]) for item in inspected}


def remove(names: list[str]) -> None:
    """Remove containers at once, running, paused or dead, and wait until nothing works on them.

    Their monitors start Podman a last time to tidy up, which mounts and unmounts its storage.
    """
    if not names:
        return
    inspected = json.loads(run("podman", "inspect", *names, doing="looking at the nodes"))
    run("podman", "rm", "--force", "--time=0", *names, doing="removing nodes")
    ids = [item["Id"].encode() for item in inspected]
    deadline = time.monotonic() + TIDYING_S
    while _is_mentioned(ids) and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_mentioned(ids: list[bytes]) -> bool:
    """Whether a living process has one of these containers in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if any(one in command for one in ids):
            return True
    return False


def network_subnets(network: str) -> list[str] | None:
    """Address ranges of a network; None if there is no such network."""
    if not succeeds("podman", "network", "exists", network):
        return None
    described: list[dict[str, Any]] = json.loads(
        run("podman", "network", "inspect", network, doing="looking at the lab's network")
    )
    return [subnet["subnet"] for subnet in described[0].get("subnets", [])]


def create_network(network: str, subnet: str) -> None:
    """Make the lab's network; names are not resolved in it, addresses are fixed."""
    run(
        "podman",
        "network",
        "create",
        "--disable-dns",
        f"--subnet={subnet}",
        f"--label={LAB_LABEL}={network}",
        network,
        doing="making the lab's network",
    )
