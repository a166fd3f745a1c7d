"""The server of local pages: who is let in, and how long anyone may keep it busy."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import pytest

from core.local_site import server as server_module
from core.local_site.answers import HEADERS, HTML, Content, nothing_here
from core.local_site.server import LOOPBACK, LOOPBACK_6, MOST_CONNECTIONS, LocalServer
from tests.doubles.serving import serving


class OnePage:
    """A site of one page."""

    headers: Mapping[str, str] = HEADERS
    trouble = "trouble"

    def get(self, path: str, query: str) -> Content:
        if path:
            raise nothing_here()
        return Content(HTML, f"hello {query}".encode())

    def post(self, path: str, body: bytes) -> Content:
        raise nothing_here()


@contextmanager
def served(*, address: str = LOOPBACK, is_tunnelled: bool = True) -> Iterator[LocalServer]:
    with (
        LocalServer(
            OnePage(), lambda _line: None, address=address, is_tunnelled=is_tunnelled
        ) as server,
        serving(server),
    ):
        yield server


def asked(server: LocalServer, method: str = "GET", path: str = "", **headers: str) -> int:
    """The status of an answer."""
    host, port = server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), int(port), timeout=10)
    whole = path if path.startswith("/") else f"/{server.token}/{path}"
    connection.request(method, whole, headers={"Host": server.address, **headers})
    reply = connection.getresponse()
    reply.read()
    connection.close()
    return reply.status


def test_the_page_is_served_to_who_knows_its_path() -> None:
    with served() as server:
        assert asked(server) == 200
        assert asked(server, "HEAD") == 200
        assert asked(server, path="?seen=1") == 200
        for path in ("/", "/wrong/", f"/{server.token}", "other", "../", "%2e%2e/"):
            assert asked(server, path=path) == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "X"])
def test_nothing_can_be_done_but_to_read(method: str) -> None:
    with served() as server:
        assert asked(server, method) in {403, 413, 501}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8765",
        "127.0.0.1:8765.evil.example",
        "localhost.evil.example:80",
        "10.0.0.1:8765",
        "[::2]:8765",
        "[::ffff:7f00:1]",
        "0.0.0.0:8765",
        "127.0.0.1:999999",
        "",
        "user@127.0.0.1",
    ],
)
def test_a_name_that_points_here_is_refused(host: str) -> None:
    with served() as server:
        assert asked(server, Host=host) == 403


def test_a_tunnel_may_have_another_port_and_a_page_of_this_machine_alone_not() -> None:
    for host in ("127.0.0.1:9000", "localhost:9000", "[::1]:9000"):
        with served(is_tunnelled=True) as server:
            assert asked(server, Host=host) == 200
        with served(is_tunnelled=False) as server:
            assert asked(server, Host=host) == 403


def test_two_hosts_are_refused() -> None:
    with served() as server, socket.create_connection(server.server_address[:2]) as client:
        name = server.address
        lines = f"GET /{server.token}/ HTTP/1.0\r\nHost: {name}\r\nHost: {name}\r\n\r\n"
        client.sendall(lines.encode())
        assert client.recv(100).startswith(b"HTTP/1.0 403")


def test_it_listens_on_the_other_loopback_address_by_choice() -> None:
    try:
        with served(address=LOOPBACK_6) as server:
            assert server.url.startswith("http://[::1]:")
            assert asked(server) == 200
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((LOOPBACK, server.server_port), timeout=2)
    except OSError as error:  # pragma: no cover - a machine without IPv6
        pytest.skip(str(error))


def test_it_listens_nowhere_else() -> None:
    with served() as server:
        assert server.server_address[0] == LOOPBACK
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", server.server_port), timeout=2)


def test_errors_have_the_headers_of_every_answer() -> None:
    with served() as server, socket.create_connection(server.server_address[:2]) as client:
        client.sendall(b"NONSENSE / HTTP/1.1\r\n\r\n")
        told = _all(client)
    assert b"Content-Security-Policy: default-src 'none'" in told
    assert b"NONSENSE" not in told


def _all(client: socket.socket) -> bytes:
    client.settimeout(20)
    told = b""
    with suppress(ConnectionError):
        while more := client.recv(4096):
            told += more
    return told


def test_many_connections_leave_it_alive_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST_CONNECTION_S", 1.0)
    before = threading.active_count()
    with served() as server, ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(server.server_address[:2], timeout=10))
            for _ in range(10 * MOST_CONNECTIONS)
        ]
        time.sleep(0.3)
        assert threading.active_count() - before <= MOST_CONNECTIONS + 1
        turned_away = [client for client in clients if _all(client).startswith(b"HTTP/1.0 503")]
        assert len(turned_away) >= MOST_CONNECTIONS
        assert asked(server) == 200, "those that kept silent were ended"


def test_a_client_that_sends_a_byte_now_and_then_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST_CONNECTION_S", 1.0)
    with served() as server, socket.create_connection(server.server_address[:2]) as client:
        begun = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - begun < 20:
                client.sendall(b"G")
                time.sleep(0.1)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,
        b"GET /" + b"a" * 300_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000,
    ],
)
def test_a_request_without_end_is_dropped(content: bytes) -> None:
    with served() as server, socket.create_connection(server.server_address[:2]) as client:
        with suppress(ConnectionError):
            client.sendall(content)
        assert b" 200 " not in _all(client)
        assert asked(server) == 200
