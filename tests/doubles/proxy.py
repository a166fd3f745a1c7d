"""A proxy that hands connections on to one server, whatever name they ask for, or refuses them."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Proxied:
    """What a proxy saw.

    Attributes:
        address: HOST:PORT of the proxy.
        heads: of the requests to it.
        clear: all that clients sent, as the proxy could read it.
    """

    address: str
    heads: list[bytes] = field(default_factory=list)
    clear: list[bytes] = field(default_factory=list)


def _pump(source: socket.socket, target: socket.socket, seen: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            seen.append(piece)
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _handle(peer: socket.socket, port: int, seen: Proxied, login: str, refusal: str) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = peer.recv(65536)
        if not piece:
            return
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    seen.heads.append(head)
    seen.clear.append(received)
    sent = base64.b64encode(login.encode())
    if login and b"Proxy-Authorization: Basic " + sent not in head:
        refusal = "407 Who Are You"
    if refusal:
        peer.sendall(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode())
        return
    with socket.create_connection(("127.0.0.1", port)) as server:
        if head.startswith(b"CONNECT "):
            peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            rest = received
        server.sendall(rest)
        back = threading.Thread(target=_pump, args=(server, peer, []), daemon=True)
        back.start()
        _pump(peer, server, seen.clear)
        back.join(10)


@contextmanager
def proxying(port: int, *, login: str = "", refusal: str = "") -> Iterator[Proxied]:
    """A proxy to the server that listens on a port of this machine.

    Args:
        port: of the server.
        login: USER:PASSWORD that it wants to see; empty for none.
        refusal: the status with which it answers instead of handing on, such as `403 Forbidden`.
    """
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                _handle(peer, port, seen, login, refusal)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = Proxied(f"127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            with contextlib.suppress(OSError), socket.create_connection(listener.getsockname()):
                pass
            thread.join(10)
