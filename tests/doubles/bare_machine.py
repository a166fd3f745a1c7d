"""A machine on the loopback address that nobody has set up: it lets a key in and runs a shell."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import paramiko

from tests.doubles.ssh_server import SshServer, ssh_server


@dataclass
class BareMachine(SshServer):
    """What it is beside an SSH server.

    Attributes:
        address: its own, as SSH tells it to programs.
        ways: to log in, as it offers them.
        says: what it says instead of running anything.
        ends: how that ends.
        banner: what it says to everybody who comes.
        other_key: a second host key, of another type.
    """

    address: str = "192.0.2.11"
    ways: str = "publickey,password"
    says: bytes | None = None
    ends: int = 0
    banner: str = ""
    other_key: paramiko.PKey | None = None

    def keys(self) -> list[paramiko.PKey]:
        """All its host keys."""
        return [self.key, *([self.other_key] if self.other_key else [])]

    def get_banner(self) -> tuple[str | None, str | None]:
        """Before the login."""
        return self.banner or None, "en-US"

    def get_allowed_auths(self, username: str) -> str:
        """Also passwords, or not."""
        return self.ways

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Run it on this machine."""
        self.seen.append(f"exec {command.decode()}")
        threading.Thread(target=self._run, args=(channel, command), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: bytes) -> None:
        with contextlib.suppress(OSError, EOFError):
            given = b""
            while piece := channel.recv(65536):
                given += piece
            code, said = self.ends, self.says
            if said is None:
                done = subprocess.run(
                    ["sh", "-c", command.decode()],
                    input=given,
                    capture_output=True,
                    check=False,
                    env={**os.environ, "SSH_CONNECTION": f"192.0.2.1 1 {self.address} 22"},
                )
                code, said = done.returncode, done.stdout
            channel.sendall(said)
            channel.send_exit_status(code)
            channel.close()


@contextmanager
def bare_machine(**how: object) -> Iterator[BareMachine]:
    """A machine while the context lasts."""
    machine = BareMachine(**how)  # type: ignore[arg-type]
    with ssh_server(machine) as server:
        assert server is machine
        yield machine
