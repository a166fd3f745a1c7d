"""The server of a local page.

It listens on the loopback address alone. Other programs and pages of the same machine are kept out
by a random token in the path; web pages that point a name of theirs at this address, by the Host
header; pages that post blindly, by the content type and the Origin header. Requests, connections
and their duration are bounded, so that neither many clients nor slow ones keep the user out for
long.
"""

from __future__ import annotations

import hmac
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from socketserver import TCPServer

from core.errors import HerdError
from core.local_site.answers import JSON, Content, RefusedError, Site, as_json, nothing_here

LOOPBACK = "127.0.0.1"
LOOPBACK_6 = "::1"
LONGEST_REQUEST_BYTES = 64 * 1024
"""Of a body, and of the lines before it."""
MOST_CONNECTIONS = 32
"""Clients that are answered at once; a further one is turned away and may try again."""
LONGEST_CONNECTION_S = 15.0
"""A request and its answer take milliseconds; a connection that lasts longer is ended."""
SILENCE_S = 10.0
_LENGTH = re.compile(r"[0-9]{1,9}")
_HOST = re.compile(r"(?P<name>localhost|127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?")
_BUSY = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class LocalServer(ThreadingHTTPServer):
    """Serves one site under a random path.

    Args:
        site: what is served.
        say: gets the words of an HerdError that a request caused.
        address: `LOOPBACK` or `LOOPBACK_6`.
        port: 0 for any that is free.
        is_tunnelled: a browser may reach it by another port of the browser's machine (`ssh -L`).

    Raises:
        OSError: the port is taken, or the machine has no such address.
    """

    daemon_threads = True
    request_queue_size = 2 * MOST_CONNECTIONS
    allow_reuse_port = False

    def __init__(
        self,
        site: Site,
        say: Callable[[str], None],
        *,
        address: str = LOOPBACK,
        port: int = 0,
        is_tunnelled: bool = False,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)
        self.site = site
        self.say = say
        self.is_tunnelled = is_tunnelled
        self.token = secrets.token_urlsafe(24)
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._since: dict[socket.socket, float] = {}

    def server_bind(self) -> None:
        """Bind without asking a name server what the address is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    @property
    def address(self) -> str:
        """Host and port as a URL has them."""
        name = str(self.server_name)
        return f"[{name}]:{self.server_port}" if ":" in name else f"{name}:{self.server_port}"

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{self.address}/{self.token}/"

    def knows_itself_as(self, host: str) -> bool:
        """Whether a Host header names this server as a browser of this machine does."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        return self.is_tunnelled or found["port"] == str(self.server_port)

    # -- bounds on connections

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Answer in a thread, or turn the client away while there are too many."""
        if not self._slots.acquire(blocking=False):
            with suppress(OSError):
                request.setblocking(False)  # noqa: FBT003 - the name of the module's own argument
                request.send(_BUSY)
            super().shutdown_request(request)
            return
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """End a connection and let another one in."""
        if self._since.pop(request, None) is not None:
            self._slots.release()
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that last too long; called twice a second."""
        oldest = time.monotonic() - LONGEST_CONNECTION_S
        for request, since in list(self._since.items()):
            if since < oldest:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser may break off a request at any moment; anything else is a mistake here."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Bounded:
    """What a client sends before the body, up to an end; beyond it the connection is dropped."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._left = LONGEST_REQUEST_BYTES

    def readline(self, size: int = -1) -> bytes:
        most = self._left + 1
        line = self._file.readline(most if size < 0 else min(size, most))
        self._left -= len(line)
        if self._left < 0:
            raise ConnectionAbortedError
        return line

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer
    headers: Message
    timeout = SILENCE_S

    def setup(self) -> None:
        super().setup()
        self.rfile = _Bounded(self.rfile)  # type: ignore[assignment] # has what the base calls

    def version_string(self) -> str:
        return "llama-herd"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: the path holds the token."""

    def send_error(self, code: int, *_words: str | None) -> None:
        """Refuse what the base finds wrong, with the headers of every answer."""
        self._send(HTTPStatus(code), Content(JSON, as_json({"error": HTTPStatus(code).phrase})))

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, method: Callable[[], Content]) -> None:
        status = HTTPStatus.OK
        try:
            answer = method()
        except RefusedError as refusal:
            status, answer = refusal.status, Content(JSON, as_json({"error": refusal.why}))
        except HerdError as error:
            # Not to the page: the message may hold what the page must not show.
            self.server.say(str(error))
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            answer = Content(JSON, as_json({"error": self.server.site.trouble}))
        self._send(status, answer)

    def _send(self, status: HTTPStatus, answer: Content) -> None:
        self.send_response(status)
        for name, value in self.server.site.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def _place(self) -> tuple[str, str]:
        """Path and query below the token."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self.server.knows_itself_as(hosts[0]):
            raise RefusedError(HTTPStatus.FORBIDDEN, "This is not the address of this page.")
        whole, _, query = self.path.partition("?")
        token, slash, path = whole.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise nothing_here()
        return path, query

    def _get(self) -> Content:
        return self.server.site.get(*self._place())

    def _post(self) -> Content:
        path, _ = self._place()
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length) or int(length) > LONGEST_REQUEST_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This is too long.")
        body = self.rfile.read(int(length))
        # A page elsewhere cannot send this type without asking first, which is refused.
        scheme, _, host = self.headers.get("Origin", "").partition("://")
        is_ours = scheme == "http" and self.server.knows_itself_as(host)
        if not is_ours or self.headers.get("Content-Type") != JSON:
            raise RefusedError(HTTPStatus.FORBIDDEN, "Only the page itself may send this.")
        return self.server.site.post(path, body)
