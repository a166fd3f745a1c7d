"""How long a small message takes to another node, and how many bytes get there in a second.

The one that listens hears a line first: which of three things is asked of it. It does nothing for
a stranger: who does not hear a line that it knows hangs up.

    echo   gives each message back
    send   sends until the other hangs up
    take   takes in bytes for a while, then says how many in which time
"""

from __future__ import annotations

import json
import re
import select
import socket
import statistics
import struct
import time

from herd_probe.ground import remark, report

GREETING = b"herd-probe 1 "
ASKED = re.compile(rb"herd-probe 1 (echo|send|take)(?: ([0-9]{1,7}))?\n")
READY = b"herd-probe 1 ready\n"
LINE_BYTES = 64
MESSAGE_BYTES = 64
"""Of an exchange: fits into one packet of any network."""
CONNECT_S = 3.0
SILENCE_S = 5.0
"""How long the other side may say nothing."""
EXCHANGE_S, FIRST_EXCHANGES, LEAST_EXCHANGES, MOST_EXCHANGES = 0.25, 20, 8, 2000
BEGIN_S, TRANSFER_S = 0.1, 0.25
"""How long bytes are taken in before any count, as TCP is still slow then, and while they do."""
BEGIN_TURNS, TRANSFER_TURNS = 12, 4
"""The same in round trips, where these are longer: TCP becomes faster with each."""
LONGEST_BEGIN_S = 2.0
LEAST_BYTES, LONGEST_TRANSFER_S = 2 << 20, 1.0
"""Bytes of a slow link are counted longer, as its rate varies with each packet that is lost."""
MOST_BYTES = 1 << 30
CHUNK_BYTES = 64 << 10
UNREACHED = f"no connection within {CONNECT_S:g} s: a firewall may be in between"


class LinkError(Exception):
    """Why a link cannot be measured, a clause."""


def fitted(connection: socket.socket) -> socket.socket:
    """Send small messages at once; give up on a silent other side.

    The kernel keeps the time: Python's own way would cost a system call for each message.
    """
    connection.setblocking(True)  # noqa: FBT003 - the standard library's
    seconds = struct.pack("@ll", int(SILENCE_S), 0)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Hanging up drops what is still to be sent, or a slow link would be busy with it for seconds.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
    return connection


def line_of(connection: socket.socket) -> bytes:
    """The first line that comes, with its end."""
    received = b""
    while not received.endswith(b"\n"):
        piece = connection.recv(1)
        if not piece or len(received) > LINE_BYTES:
            raise LinkError("what answered is no probe")
        received += piece
    return received


def listen(address: str, port: int) -> None:
    """Answer one connection after the other, for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(8)
        while True:
            connection, _ = server.accept()
            with connection:
                try:
                    answer(fitted(connection))
                except (OSError, LinkError):
                    continue  # it hung up, which is also the usual end


def answer(connection: socket.socket) -> None:
    """Do what the first line asks."""
    asked = ASKED.fullmatch(line_of(connection))
    if asked is None:
        raise LinkError("a stranger")
    connection.sendall(READY)
    if asked[1] == b"echo":
        echo(connection)
    elif asked[1] == b"send":
        send(connection)
    else:
        give(connection, int(asked[2] or 0) / 1e6)


def echo(connection: socket.socket) -> None:
    """Give each message back."""
    message = bytearray(MESSAGE_BYTES)
    while receive(connection, message):
        connection.sendall(message)


def receive(connection: socket.socket, message: bytearray) -> bool:
    """Fill a buffer with what comes; whether the other side is still there."""
    count = connection.recv_into(message)
    while 0 < count < len(message):
        more = connection.recv_into(memoryview(message)[count:])
        count += more or -len(message)
    return count > 0


def send(connection: socket.socket) -> None:
    """Send until the other side says something, or hangs up."""
    chunk = bytes(CHUNK_BYTES)
    until = time.monotonic() + 2 * SILENCE_S
    while time.monotonic() < until and not select.select([connection], [], [], 0)[0]:
        connection.send(chunk)


def take(connection: socket.socket, turn_s: float) -> tuple[int, float]:
    """Take in bytes for a while: how many in how many seconds, without those of the beginning.

    Args:
        connection: on which the other side sends.
        turn_s: how long a round trip takes.
    """
    chunk = bytearray(CHUNK_BYTES)
    begin_s = min(LONGEST_BEGIN_S, max(BEGIN_S, BEGIN_TURNS * turn_s))
    until_s = begin_s + max(TRANSFER_S, TRANSFER_TURNS * turn_s)
    total, counted, begun = 0, 0, time.perf_counter()
    first = last = begun
    while total < MOST_BYTES:
        longer_s = LONGEST_TRANSFER_S if counted < LEAST_BYTES else 0.0
        if counted and last - begun >= until_s + longer_s:
            break
        count = connection.recv_into(chunk)
        last = time.perf_counter()
        if not count:
            raise LinkError("the other side hung up in the middle")
        total += count
        if last - begun < begin_s or first == begun:
            first = last
        else:
            counted += count
    return counted, last - first


def give(connection: socket.socket, turn_s: float) -> None:
    """Take in bytes, then say how many in which time, until the other side hangs up."""
    connection.sendall(json.dumps(take(connection, turn_s)).encode() + b"\n")
    connection.settimeout(SILENCE_S)
    while connection.recv(CHUNK_BYTES):
        pass


def measure(address: str, port: int) -> None:
    """Measure and report a link to a program that listens."""
    try:
        halves = exchanged(address, port)
        turn_s = 2 * statistics.median(halves)
        with asked(address, port, f"take {turn_s * 1e6:.0f}") as connection:
            send(connection)
            out = told(line_of(connection))
        with asked(address, port, "send") as connection:
            back = take(connection, turn_s)
    except LinkError as error:
        remark(str(error), address=address)
    except BlockingIOError:
        remark(f"it said nothing for {SILENCE_S:g} s", address=address)
    except OSError as error:
        remark(error.strerror or str(error), address=address)
    else:
        quarters = statistics.quantiles(halves, n=4, method="inclusive")
        report(
            "link",
            address=address,
            half_us=[round(half * 1e6, 2) for half in quarters],
            exchanges=len(halves),
            out=out,
            **{"in": back},
        )


def told(line: bytes) -> tuple[int, float]:
    """How many bytes the other side took in, and in how many seconds."""
    try:
        count, seconds = json.loads(line)
        return int(count), float(seconds)
    except (ValueError, TypeError):
        raise LinkError("what answered is no probe") from None


def asked(address: str, port: int, what: str) -> socket.socket:
    """A connection on which something was asked and will be done."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_S)
        connection.connect((address, port))
        fitted(connection).sendall(GREETING + what.encode() + b"\n")
        require_ready(line_of(connection))
    except socket.timeout:
        connection.close()
        raise LinkError(UNREACHED) from None
    except BaseException:
        connection.close()
        raise
    return connection


def require_ready(line: bytes) -> None:
    """Refuse to measure with another program than this one."""
    if line != READY:
        raise LinkError("what answered is no probe")


def exchanged(address: str, port: int) -> list[float]:
    """Half of the time of each exchange of a small message, in seconds."""
    message = bytearray(MESSAGE_BYTES)
    halves: list[float] = []
    with asked(address, port, "echo") as connection:
        for _ in range(FIRST_EXCHANGES):
            halves = [once(connection, message)]
            if halves[0] * FIRST_EXCHANGES > EXCHANGE_S:
                break
        until = time.perf_counter() + EXCHANGE_S
        halves = []
        while len(halves) < MOST_EXCHANGES:
            halves.append(once(connection, message))
            if len(halves) >= LEAST_EXCHANGES and time.perf_counter() > until:
                break
    return halves


def once(connection: socket.socket, message: bytearray) -> float:
    """Half of the time of one exchange, in seconds."""
    begun = time.perf_counter()
    connection.sendall(message)
    if not receive(connection, message):
        raise LinkError("the other side hung up in the middle")
    return (time.perf_counter() - begun) / 2
