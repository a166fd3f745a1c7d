"""Host keys of machines, and the project's file of those that are trusted.

One way serves all machines, those behind jump hosts, too: SSH itself connects with a copy of the
file, may add a key to the copy, and does not log in. So SSH decides whether the file has the key
(hashed names, patterns, authorities), and what it added is a line that it will find again.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import HerdError
from core.foreign import one_line
from experiments.adopt.files import read_whole, replace_whole
from experiments.adopt.ssh import SshResult, call, quoted
from experiments.fleet.cluster import Node
from experiments.nodes.ssh.rules import KNOWN_HOSTS, SSH_PORT

KINDS = {
    "ssh-ed25519": ("ED25519", "ed25519"),
    "ecdsa-sha2-nistp256": ("ECDSA", "ecdsa"),
    "ecdsa-sha2-nistp384": ("ECDSA", "ecdsa"),
    "ecdsa-sha2-nistp521": ("ECDSA", "ecdsa"),
    "ssh-rsa": ("RSA", "rsa"),
}
"""Type of a key to its name as `ssh-keygen -l` prints it and in the name of its file."""
OTHER_KINDS = (
    "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "rsa-sha2-512,rsa-sha2-256",
)
"""What else to ask for where a fingerprint was given that is not the preferred key's."""
_FINGERPRINT = re.compile(r"(?:^|\s)(?:SHA256:)?([A-Za-z0-9+/]{43})=?(?=$|\s)")


_CHANGED = re.compile(r"Host key for (\S+) has changed")


class State(StrEnum):
    """What is known of a machine's host key."""

    NEW = "new"
    KNOWN = "known"
    CHANGED = "changed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class HostKey:
    """What came of asking a machine for its host key.

    Attributes:
        lines: to be added to the file where it is new.
        kind: its type, such as `ssh-ed25519`.
        blob: the key, in base64.
        why: why there is none, and what to do.
        line: of the file, with the other key where it changed.
        name: what the file has the machine by where it changed.
    """

    state: State
    lines: bytes = b""
    kind: str = ""
    blob: str = ""
    why: str = ""
    line: int = 0
    name: str = ""

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def told(self) -> str:
        """The fingerprint and the type."""
        return f"{self.fingerprint} ({KINDS.get(self.kind, (self.kind, ''))[0]})"

    @property
    def file(self) -> str:
        """Where the machine itself has the key."""
        kind = KINDS.get(self.kind, ("", "*"))[1]
        return f"/etc/ssh/ssh_host_{kind}_key.pub"


def read_fingerprints(given: Sequence[str]) -> list[str]:
    """Fingerprints as they were given, also as whole lines of `ssh-keygen -l`.

    Raises:
        HerdError: one of them is none.
    """
    found = []
    for text in given:
        one = _FINGERPRINT.findall(text)
        if len(one) != 1:
            raise HerdError(
                f"--fingerprint {one_line(text, 80)}: write SHA256: and 43 characters, as "
                "printed by ssh-keygen -l; give the option once for each machine."
            )
        found.append(f"SHA256:{one[0]}")
    return found


def known_hosts_of(node: Node, project: Path) -> Path:
    """The file of host keys that is asked for this machine."""
    return project / Path(node.known_hosts or KNOWN_HOSTS).expanduser()


def learn(node: Node, project: Path, wanted: Collection[str]) -> HostKey:
    """Ask a machine for its host key, without logging in.

    Args:
        node: the machine.
        project: folder that relative paths begin at.
        wanted: fingerprints that are trusted: a machine may have several keys, and is asked for
            the one that is among them.
    """
    if node.connection == "local":  # the controller itself, which needs no SSH
        return HostKey(State.KNOWN)
    key = _learn(node, project, None)
    if key.state is State.NEW and wanted and key.fingerprint not in wanted:
        for kind in OTHER_KINDS:
            other = _learn(node, project, kind)
            if other.state is State.NEW and other.fingerprint in wanted:
                return other
    return key


def _learn(node: Node, project: Path, kind: str | None) -> HostKey:
    known = read_whole(known_hosts_of(node, project)) or b""
    if known and not known.endswith(b"\n"):
        known += b"\n"
    with tempfile.TemporaryDirectory(prefix="llama-herd-") as folder:
        copy = Path(folder) / "known_hosts"
        copy.write_bytes(known)
        options = [
            f"UserKnownHostsFile={quoted(copy)}",
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=accept-new",
            "CheckHostIP=no",
            "VerifyHostKeyDNS=no",
            f"HashKnownHosts={'yes' if b'|1|' in known else 'no'}",  # as the file has them
            "PreferredAuthentications=none",
            *([f"HostKeyAlgorithms={kind}"] if kind else []),
        ]
        said = call(node, project, options, "true")
        return _told(said, copy.read_bytes()[len(known) :], str(copy))


def _told(said: SshResult, added: bytes, copy: str) -> HostKey:
    words = added.split()
    if added:
        kind, blob = words[1].decode(), words[2].decode()
        return HostKey(State.NEW, b" ".join(words[:3]) + b"\n", kind, blob)
    offending = re.search(rf"key.* in {re.escape(copy)}:(\d+)", said.err)
    if offending:
        name = _CHANGED.search(said.err)
        return HostKey(State.CHANGED, line=int(offending[1]), name=name[1] if name else "")
    if said.code == 0 or said.refused is not None:
        return HostKey(State.KNOWN)
    return HostKey(State.SILENT, why=said.why)


def add_keys(path: Path, keys: Sequence[HostKey]) -> None:
    """Add the lines of new keys to a file of host keys, whole or not at all.

    Raises:
        HerdError: it cannot be written.
    """
    before = read_whole(path)
    feed = b"\r\n" if before and b"\r\n" in before else b"\n"
    content = before or b""
    if content and not content.endswith(b"\n"):
        content += feed
    lines = [key.lines.replace(b"\n", feed) for key in keys]
    replace_whole(path, before, content + b"".join(lines))


def has_key(path: Path, node: Node, blob: str) -> bool:
    """Whether the file has this key for this machine."""
    place = node.address if node.port == SSH_PORT else f"[{node.address}]:{node.port}"
    done = subprocess.run(
        ["ssh-keygen", "-F", place, "-f", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return any(blob in line.split() for line in done.stdout.splitlines())
