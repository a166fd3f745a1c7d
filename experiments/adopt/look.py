"""The first login: whether a machine lets us in, what it is, and where other nodes reach it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.foreign import one_line
from experiments.adopt.asked import is_usable_ipv4
from experiments.adopt.keys import known_hosts_of
from experiments.adopt.ssh import FAILED, SshResult, call, quoted
from experiments.fleet.cluster import Node
from experiments.nodes.ssh.openssh import told_of
from experiments.nodes.ssh.rules import KNOWN_HOSTS, SSH_PORT

MARK = "llama-herd-adopt"
SCRIPT = f"""\
LC_ALL=C
say() {{ printf '{MARK} %s %s\\n' "$1" "$2"; }}
say kernel "$(uname -s) $(uname -r)"
say board "$(tr -d '\\000' 2>/dev/null </proc/device-tree/model)"
say reached "$SSH_CONNECTION"
say addresses "$(hostname -I 2>/dev/null)"
say end .
"""
AGENT_S = 10
LONGEST_LINE = 400


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a machine reported, or why it did not.

    Attributes:
        trouble: why it cannot become a node, and maybe a remedy; empty where it can.
        remedy: what to do, on a separate line.
        groups: groups other than `cluster` that it belongs to.
        addresses: IPv4 addresses that it has and others could reach; where SSH came to one of them,
            that one alone.
    """

    trouble: str = ""
    remedy: str = ""
    groups: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def inspect(node: Node, project: Path) -> Inspection:
    """Log in and look, which changes nothing there. Its host key must be in the file."""
    known_hosts = known_hosts_of(node, project)
    options = (
        f"UserKnownHostsFile={quoted(known_hosts)}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
    )
    said = call(node, project, options, "sh -s", SCRIPT)
    if said.refused is not None:
        return _not_let_in(node, project, said)
    told = _told(said)
    if "end" in told:
        return _judged(told)
    if said.code == FAILED:
        return Inspection(said.why)
    return Inspection(
        f"login works, but it cannot run `sh` ({said.last})",
        "Nodes run Linux. For a Windows PC, see docs/pcs.md: its WSL guest is the node.",
    )


def _told(said: SshResult) -> dict[str, str]:
    """Find the script's words among other output, each bounded."""
    told: dict[str, str] = {}
    for line in said.out.splitlines():
        mark, _, rest = line.partition(" ")
        if mark == MARK:
            key, _, value = rest.partition(" ")
            told[key] = one_line(value, LONGEST_LINE)
    return told


def _judged(told: dict[str, str]) -> Inspection:
    kernel = told.get("kernel", "")
    if not kernel.startswith("Linux "):
        return Inspection(
            f"it runs {one_line(kernel, 60) or 'an unknown system'}", "Nodes run Linux."
        )
    groups: list[str] = []
    if told.get("board", "").startswith("Raspberry Pi"):
        groups.append("raspberry_pis")
    if "microsoft" in kernel.lower():
        groups.append("wsl_guests")
    reached = told.get("reached", "").split()
    addresses = _usable(reached[2:3]) or _usable(told.get("addresses", "").split())
    return Inspection(groups=tuple(groups), addresses=tuple(addresses))


def _usable(words: Sequence[str]) -> list[str]:
    """The IPv4 addresses among some words that other machines can use."""
    addresses = [word.removeprefix("::ffff:") for word in words]
    return [address for address in addresses if is_usable_ipv4(address)]


def _not_let_in(node: Node, project: Path, said: SshResult) -> Inspection:
    if said.unused:
        return Inspection(said.unused)
    own = f" ({node.key_file})" if node.key_file else ""
    trouble = f"it accepts none of your keys{own}"
    if node.user is None:
        trouble += f"; the login was tried as user {told_of(node, project).user}"
    if not {"password", "keyboard-interactive"} & set((said.refused or "").split(",")):
        return Inspection(
            trouble,
            "It does not accept a password either: add your public key to "
            "~/.ssh/authorized_keys there, on its own screen.",
        )
    return Inspection(trouble, copy_id(node, project))


def copy_id(node: Node, project: Path) -> str:
    """The command that brings a key to a machine; it asks for the password there."""
    keys = [node.key_file] if node.key_file else told_of(node, project).keys
    public = [str(Path(f"{key}.pub").expanduser()) for key in keys]
    there = [path for path in public if (project / path).is_file()]
    first: list[str] = []
    if node.key_file and not there:
        first = [f"ssh-keygen -y -f {shlex.quote(node.key_file)} >{shlex.quote(public[0])}"]
        there = public
    elif not there and not _agent_has_keys():
        first = ["ssh-keygen -t ed25519"]
    elif not (Path.home() / ".ssh").is_dir():  # in which ssh-copy-id wants to keep something
        first = ["mkdir -m 700 ~/.ssh"]
    words = ["ssh-copy-id", *(["-i", there[0]] if there else [])]
    words += ["-o", f"UserKnownHostsFile={node.known_hosts or KNOWN_HOSTS}"]
    words += ["-p", str(node.port)] if node.port != SSH_PORT else []
    words.append(f"{node.user}@{node.address}" if node.user else node.address)
    return " && ".join([*first, shlex.join(words)])


def _agent_has_keys() -> bool:
    try:
        done = subprocess.run(["ssh-add", "-L"], capture_output=True, check=False, timeout=AGENT_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
