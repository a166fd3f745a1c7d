"""Who owns a cluster and a results folder: one runner, by name, for the message to another."""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.durable import writing
from core.errors import HerdError
from core.record import open_regular
from experiments.nodes.launcher import Reply

LOCK_FILE = ".lock"
LONGEST_PID = 9
LONGEST_LINE = 500


@dataclass(frozen=True, slots=True)
class Owner:
    """A runner.

    Attributes:
        user: who started it.
        host: on which machine.
        pid: its process there.
        since: local time at which it began.
    """

    user: str
    host: str
    pid: int
    since: str

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        since = time.strftime("%Y-%m-%dT%H:%M:%S")
        return cls(getpass.getuser(), socket.gethostname(), os.getpid(), since)

    @classmethod
    def parse(cls, line: str) -> Owner | None:
        """The owner that a line of `line()` names; None for anything else."""
        words = dict(word.partition("=")[::2] for word in line[:LONGEST_LINE].split())
        try:
            pid = int(words["pid"][:LONGEST_PID])
            owner = cls(words["user"], words["host"], pid, words["since"])
        except (KeyError, ValueError):
            return None
        return owner if pid > 0 else None

    def line(self) -> str:
        """One line that `parse` reads."""
        return f"user={self.user} host={self.host} pid={self.pid} since={self.since}"

    def told(self) -> str:
        """As a person reads it."""
        return f"{self.user}@{self.host} (process {self.pid}, since {self.since.replace('T', ' ')})"

    def outlived(self, line: str) -> bool:
        """Whether the owner that a line names was a process of this machine that is no more."""
        other = Owner.parse(line.splitlines()[0] if line else "")
        if other is None or other.host != self.host or other.pid == self.pid:
            return other is not None and other.host == self.host
        try:
            os.kill(other.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return not _is_runner(other.pid)


def _is_runner(pid: int) -> bool:
    """Whether that number still belongs to a Python program, as far as this machine knows."""
    try:
        return b"python" in Path(f"/proc/{pid}/cmdline").read_bytes() or not Path("/proc").exists()
    except OSError:
        return True


def refusal(node: str, reply: Reply) -> HerdError:
    """The error for a node that did not let itself be taken."""
    owner = Owner.parse(reply.text("owner").partition("\n")[0])
    if owner is None:
        return HerdError(f"Taking possession of {node}: {reply.why()}.")
    return HerdError(
        f"Taking possession of {node}: the cluster is in use by the runner of {owner.told()}. "
        "Two runners would disturb each other's measurements. Wait for it to finish, or stop "
        "it there with Ctrl-C."
    )


@contextmanager
def own_results(results: Path, owner: Owner) -> Iterator[None]:
    """Own the results folder while the context lasts.

    Raises:
        HerdError: another runner owns it, or it cannot be written.
    """
    with writing("the lock of the results", results):
        results.mkdir(parents=True, exist_ok=True)
        descriptor = open_regular(results / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = Owner.parse(os.read(descriptor, 500).decode("utf-8", "replace"))
            told = other.told() if other else "another process"
            raise HerdError(
                f"Opening the results in {results}: they are in use by the runner of {told}. "
                "Wait for it to finish, or stop it with Ctrl-C."
            ) from None
        with writing("the lock of the results", results):
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, owner.line().encode(), 0)
        yield
    finally:
        os.close(descriptor)
