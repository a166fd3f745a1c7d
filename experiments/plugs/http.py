"""One GET to a plug, bounded in bytes and in time; no redirect is followed."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGEST_BYTES = 1 << 16
"""Of an answer, headers included. Plugs answer in less than 2 KiB."""
DEADLINE_S = 2.0
"""For the whole of an answer; some plugs take half a second while their Wi-Fi sleeps."""


class PlugError(Exception):
    """Why a plug gave no reading: a clause about it, without its address and password.

    Attributes:
        is_lasting: asking again will not help until someone changes something.
    """

    def __init__(self, reason: str, *, is_lasting: bool = False) -> None:
        super().__init__(reason)
        self.is_lasting = is_lasting


@dataclass(frozen=True, slots=True)
class PlugAnswer:
    """What a plug answered.

    Attributes:
        challenge: the header `WWW-Authenticate`; empty if there is none.
    """

    status: int
    challenge: str
    body: bytes


def get(host: str, port: int, path: str, headers: Mapping[str, str], until_s: float) -> PlugAnswer:
    """Ask a plug.

    Args:
        host: its name or address.
        port: of its HTTP server.
        path: with its query; may contain a password, so no error repeats it.
        headers: further ones of the request.
        until_s: by the monotonic clock, when the answer must be complete.

    Raises:
        PlugError: it does not answer in time, or not in HTTP, or too much.
    """
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    request = "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1", "replace")
    try:
        with socket.create_connection((host, port), timeout=_left_s(until_s)) as connection:
            connection.sendall(request)
            return _answer(connection, until_s)
    except TimeoutError:
        raise PlugError(f"it did not answer within {DEADLINE_S:g} s") from None
    except ConnectionRefusedError:
        raise PlugError(f"it refuses connections on port {port}") from None
    except socket.gaierror:
        raise PlugError("its name is not known to this machine") from None
    except OSError as error:
        raise PlugError(f"it cannot be reached ({error.strerror or 'no route'})") from None
    except http.client.IncompleteRead:
        raise PlugError("its answer was cut off") from None
    except (http.client.HTTPException, ValueError):
        raise PlugError("it does not answer in HTTP") from None


def _answer(connection: socket.socket, until_s: float) -> PlugAnswer:
    response = http.client.HTTPResponse(_Bounded(connection, until_s))  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    return PlugAnswer(response.status, response.getheader("WWW-Authenticate") or "", body)


class _Bounded(io.RawIOBase):
    """The bytes of a connection, up to a moment and a number of them."""

    def __init__(self, connection: socket.socket, until_s: float) -> None:
        super().__init__()
        self._connection = connection
        self._until_s = until_s
        self._left = LARGEST_BYTES

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return itself as `http.client` asks a socket for it."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Return that it is for reading."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what is there. Raises TimeoutError and PlugError beyond the bounds."""
        self._connection.settimeout(_left_s(self._until_s))
        count = self._connection.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise PlugError(f"its answer has more than {LARGEST_BYTES // 1024} KiB")
        return count


def _left_s(until_s: float) -> float:
    """Return the seconds that are left. Raises TimeoutError when none are."""
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
