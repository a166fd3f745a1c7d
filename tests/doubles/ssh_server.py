"""SSH servers on the loopback address: nodes that say hello, and jump hosts that lead to them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import paramiko


@dataclass
class SshServer(paramiko.ServerInterface):
    """What a server does and sees.

    Attributes:
        key: its host key.
        lets_in: whether it accepts a user's key.
        leads_on: whether it passes connections on.
        password: what it accepts instead of keys.
        starts: whether it starts what it is asked to, or says nothing.
        port: where it listens.
        seen: logins, programs and ways on, in order.
    """

    key: paramiko.PKey = field(default_factory=paramiko.ECDSAKey.generate)
    lets_in: bool = True
    leads_on: bool = True
    starts: bool = True
    password: str | None = None
    port: int = 0
    seen: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Its line of a file of known hosts."""
        return f"[127.0.0.1]:{self.port} {self.key.get_name()} {self.key.get_base64()}\n"

    def keys(self) -> list[paramiko.PKey]:
        """All its host keys."""
        return [self.key]

    def get_allowed_auths(self, username: str) -> str:
        """Keys alone, or a password."""
        return "password" if self.password else "publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        """The one password."""
        self.seen.append(f"password {username}")
        return paramiko.AUTH_SUCCESSFUL if password == self.password else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Any key, or none."""
        self.seen.append(f"login {username}")
        return paramiko.AUTH_SUCCESSFUL if self.lets_in else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """A session."""
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Say hello instead of the program."""
        mark, _, program = command.decode().removeprefix("echo ").partition("; ")
        self.seen.append(f"exec {program}")
        while not self.starts:
            threading.Event().wait(60)
        channel.send(f"Welcome!\n{mark}\nhello".encode())
        return True

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        """A way on."""
        self.seen.append(f"on to {destination[1]}")
        if not self.leads_on:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        self._waiting = destination
        return paramiko.OPEN_SUCCEEDED

    def serve(self, peer: socket.socket) -> None:
        """One connection."""
        transport = paramiko.Transport(peer)
        for key in self.keys():
            transport.add_server_key(key)
        self._waiting: tuple[str, int] | None = None
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            transport.start_server(server=self)
            while transport.is_active():
                channel = transport.accept(0.2)
                if channel is not None and self._waiting:
                    onward = socket.create_connection(self._waiting)
                    for one, other in ((channel, onward), (onward, channel)):
                        threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket | paramiko.Channel, other: socket.socket | paramiko.Channel) -> None:
    with contextlib.suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
    with contextlib.suppress(EOFError):  # its connection may have ended before
        other.close()


@contextmanager
def ssh_server(made: SshServer | None = None, **how: bool | str) -> Iterator[SshServer]:
    """A server while the context lasts: the one that is given, or one that is made so."""
    server = made or SshServer(**how)  # type: ignore[arg-type]
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=server.serve, args=(peer,), daemon=True).start()

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    try:
        yield server
    finally:
        # Else the thread might go on with whatever gets the number of its file: the next server.
        listener.shutdown(socket.SHUT_RDWR)
        listening.join()
        listener.close()
