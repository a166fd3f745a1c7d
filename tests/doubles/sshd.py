"""Real SSH servers on the loopback addresses, and an agent: for whatever calls OpenSSH."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SETTINGS = """
Port {port}
ListenAddress 127.0.0.1
ListenAddress ::1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
LogLevel DEBUG1
MaxStartups {startups}
{more}
"""


@dataclass(frozen=True)
class Sshd:
    """A server.

    Attributes:
        folder: with its settings, key and log.
        port: where it listens.
    """

    folder: Path
    port: int

    def known(self, *hosts: str) -> str:
        """Its lines of a file of known hosts."""
        key = " ".join((self.folder / "host.pub").read_text().split()[:2])
        return "".join(f"[{host}]:{self.port} {key}\n" for host in hosts or ("127.0.0.1", "::1"))

    def log(self) -> str:
        """What it saw."""
        return (self.folder / "log").read_text()

    def led_on(self) -> int:
        """How many connections it passed on."""
        return self.log().count("server_request_direct_tcpip")


@contextmanager
def sshd(folder: Path, authorized: str, more: str = "", startups: str = "200") -> Iterator[Sshd]:
    """A server that the account of the tests may log in to.

    Args:
        folder: for its files; it need not exist.
        authorized: public keys that it lets in.
        more: further settings.
        startups: how many may be on their way in at once.
    """
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("openssh-server is not installed")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    folder.mkdir(parents=True)
    make_key(folder / "host")
    (folder / "authorized").write_text(authorized)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "settings").write_text(
        SETTINGS.format(port=port, folder=folder, more=more, startups=startups)
    )
    process = subprocess.Popen(
        [program, "-D", "-E", folder / "log", "-f", folder / "settings"], start_new_session=True
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield Sshd(folder, port)
    finally:
        process.terminate()
        process.wait(20)


def make_key(path: Path, passphrase: str = "") -> str:
    """A new key; its public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text()


@contextmanager
def agent(folder: Path, key: Path, passphrase: str) -> Iterator[str]:
    """An agent that has a key; the path of its socket."""
    place = folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    ask = folder / "ask-passphrase"
    ask.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    ask.chmod(0o700)
    environment = {
        **os.environ,
        "SSH_AUTH_SOCK": str(place),
        "SSH_ASKPASS": str(ask),
        "SSH_ASKPASS_REQUIRE": "force",
    }
    try:
        while not place.exists():
            time.sleep(0.02)
        subprocess.run(
            ["ssh-add", "-q", key], env=environment, check=True, stdin=subprocess.DEVNULL
        )
        yield str(place)
    finally:
        process.terminate()
        process.wait(20)
