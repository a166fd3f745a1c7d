"""OpenSSH, called for a machine as Ansible would call it, and what its failures mean."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import HerdError
from core.foreign import one_line
from experiments.fleet.cluster import Node
from experiments.nodes.ssh.channel import SilentError
from experiments.nodes.ssh.openssh import OpenSsh
from experiments.nodes.ssh.refusals import Failure

ANSWER_S = 60.0
FAILED = 255
"""The exit code of SSH where it did not get as far as the program."""
MOST_BYTES = 1 << 16
_REFUSED = re.compile(r"\S+@\S+: Permission denied \((?P<ways>[^)]*)\)\.?")


@dataclass(frozen=True, slots=True)
class SshResult:
    """What a call of SSH led to.

    Attributes:
        code: its exit code; 255 is SSH's own.
        out: what came from the machine, cut.
        err: what SSH said, and after it has connected the machine, too.
        why: where SSH itself failed, what that means and what to do.
        unused: where the login failed, why a key was not even offered; None if all were.
    """

    code: int
    out: str
    err: str
    why: str = ""
    unused: str | None = None

    @property
    def refused(self) -> str | None:
        """Login methods that the machine offers after a refused login; None elsewhere."""
        lines = self.err.strip().splitlines()
        found = _REFUSED.fullmatch(lines[-1].strip()) if self.code and lines else None
        return None if found is None else found["ways"]

    @property
    def last(self) -> str:
        """The last thing that was said, for a message."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return one_line(lines[-1], 200) if lines else f"it ended with status {self.code}"


def call(
    node: Node, project: Path, options: Sequence[str], command: str, given: str = ""
) -> SshResult:
    """Run a command on a machine.

    Args:
        node: the machine, as the inventory has it.
        project: folder that relative paths of the inventory begin at.
        options: of OpenSSH, which win over those of the inventory.
        command: for the machine.
        given: what the command reads.
    """
    ssh, answer = OpenSsh(project), None
    try:
        made = ssh.call(node, command)
        argv = list(made.argv)
        argv[1:1] = [word for option in options for word in ("-o", option)]
        if (answer := made.answer) is not None:
            answer.fill()
        done = subprocess.run(
            argv,
            cwd=project,
            env=made.environment,
            input=given.encode(),
            capture_output=True,
            timeout=ANSWER_S,
            check=False,
            start_new_session=True,  # SSH to a jump host could ask on this terminal
        )
        said = SshResult(done.returncode, _text(done.stdout), _text(done.stderr))
        if said.code != FAILED:
            return said
        why = SilentError(said.last, let_in=False)
        failure = Failure(node, ssh, made, said.err, why, is_listed=False)
        return replace(said, why=str(failure.error()), unused=failure.unused_key())
    except HerdError as error:
        return SshResult(FAILED, "", "", str(error))
    except subprocess.TimeoutExpired:
        return SshResult(FAILED, "", "", f"It did not answer within {ANSWER_S:.0f} s.")
    finally:
        if answer is not None:
            answer.close()
        ssh.close()


def quoted(path: Path) -> str:
    """A path as the value of an option."""
    return f'"{str(path).replace("%", "%%")}"'


def _text(data: bytes) -> str:
    return data[:MOST_BYTES].decode("utf-8", "replace").replace("\r", "")
