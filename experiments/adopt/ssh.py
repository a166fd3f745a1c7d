"""OpenSSH, called for a machine as Ansible would call it, and what its failures mean."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.ssh_config import SSH_PORT
from models.foreign import one_line

CONNECT_S = 10
ANSWER_S = 60.0
MOST_BYTES = 1 << 16
PLAIN = (
    f"ConnectTimeout={CONNECT_S}",
    "BatchMode=yes",
    "ControlMaster=no",
    "ControlPath=none",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
    "UpdateHostKeys=no",
    "LogLevel=ERROR",  # no banner of a machine among the messages of SSH
)
"""Options that keep a call to itself: it asks nobody, shares nothing and runs nothing else."""
_REFUSED = re.compile(r"\S+@\S+: Permission denied \((?P<ways>[^)]*)\)\.?")


@dataclass(frozen=True, slots=True)
class Said:
    """What a call of SSH led to.

    Attributes:
        code: its exit code; 255 is SSH's own.
        out: what came from the machine, cut.
        err: what SSH said, and after it has connected the machine, too.
    """

    code: int
    out: str
    err: str

    @property
    def refused(self) -> str | None:
        """Ways to log in that the machine offers, where it let nobody in; None where it did not."""
        lines = self.err.strip().splitlines()
        found = _REFUSED.fullmatch(lines[-1].strip()) if self.code and lines else None
        return None if found is None else found["ways"]

    @property
    def why(self) -> str:
        """The last thing that was said, for a message."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return one_line(lines[-1], 200) if lines else f"ssh ended with {self.code}"


def call(node: Node, project: Path, options: Sequence[str], command: str, given: str = "") -> Said:
    """Run a command on a machine.

    Args:
        node: the machine, as the inventory has it.
        project: folder that relative paths of the inventory begin at.
        options: of OpenSSH, which win over those of the inventory.
        command: for the machine.
        given: what the command reads.

    Raises:
        HerdError: there is no SSH here.
    """
    argv = [node.ssh.executable, *_config_file()]
    for option in (*options, *PLAIN):
        argv += ["-o", option]
    argv += node.ssh.arguments
    if node.key_file:
        argv += ["-o", f"IdentityFile={quoted(Path(node.key_file).expanduser())}"]
    argv += ["-p", str(node.port)] if node.port != SSH_PORT else []
    argv += ["-l", node.user] if node.user else []
    try:
        done = subprocess.run(
            [*argv, "--", node.address, command],
            cwd=project,
            input=given.encode(),
            capture_output=True,
            timeout=ANSWER_S,
            check=False,
            start_new_session=True,  # SSH to a jump host could ask on this terminal
        )
    except FileNotFoundError:
        raise HerdError(
            f"{node.ssh.executable} is not installed. Install OpenSSH's client."
        ) from None
    except subprocess.TimeoutExpired:
        return Said(255, "", f"it did not answer within {ANSWER_S:.0f} s")
    return Said(done.returncode, _text(done.stdout), _text(done.stderr))


def quoted(path: Path) -> str:
    """A path as the value of an option."""
    return f'"{str(path).replace("%", "%%")}"'


def _text(data: bytes) -> str:
    return data[:MOST_BYTES].decode("utf-8", "replace").replace("\r", "")


def _config_file() -> tuple[str, ...]:
    """The option for a home that is not that of the account, at which OpenSSH looks."""
    home = Path.home()
    if home == Path(pwd.getpwuid(os.getuid()).pw_dir):
        return ()
    config = home / ".ssh" / "config"
    return ("-F", str(config) if config.exists() else "none")
