"""Delay by a queue of packets, where the kernel has no netem.

The kernel (`CONFIG_NETFILTER_XT_TARGET_NFQUEUE`) hands over the number of each packet that an
iptables rule sends to the queue, and keeps the packet until a verdict lets it pass. All wait
equally long, so they leave in the order in which they came, and one message lets pass all that are
due. Messages are those of `linux/netfilter/nfnetlink_queue.h`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from experiments.links.shape import HELD_PACKETS, QUEUE

NETLINK_NETFILTER = 12
SUBSYSTEM = 3 << 8
PACKET, CONFIG, VERDICT_BATCH = 0, 2, 3
REQUEST, ACKNOWLEDGE = 1, 4
CFG_COMMAND, CFG_PARAMS, CFG_MOST, CFG_MASK, CFG_FLAGS = 1, 2, 3, 4, 5
BIND, COPY_META, ACCEPT, WHOLE_BURSTS = 1, 1, 1, 4
VERDICT_HEADER = 2
ERROR = 2
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
SOL_NETLINK, NETLINK_NO_ENOBUFS = 270, 5
BUFFER_BYTES = 16 << 20
ID_AT = 24
"""Where the number of a packet is: after the headers of netlink, netfilter and the attribute,
which the kernel always writes first."""
IDLE_S = 3600.0


@dataclass(slots=True)
class _Queue:
    """The queue of a node, and its packets with the moment of their arrival."""

    pid: int
    socket: socket.socket
    delay_s: float
    held: deque[tuple[int, float]] = field(default_factory=deque)


class Delayer:
    """Holds what arrives at nodes; one thread for all of them.

    A queue once opened stays open: nothing comes into it while no rule sends it there.
    """

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._lock = threading.Lock()
        self._woken, self._wake = os.pipe()
        threading.Thread(target=self._serve, daemon=True).start()

    def hold(self, node: str, pid: int, delay_ms: float) -> None:
        """Hold what arrives at a node for so long; what is held already goes at once.

        Raises:
            OSError: the kernel has no such queue, or another process serves it.
        """
        with self._lock:
            queue = self._queues.get(node)
            if queue is None or queue.pid != pid:
                if queue is not None:
                    queue.socket.close()
                queue = self._queues[node] = _Queue(pid, open_queue(pid), 0.0)
            _pass_all(queue)
            queue.delay_s = delay_ms / 1000
        os.write(self._wake, b".")

    def release(self, node: str) -> None:
        """Let pass what is held, and hold nothing more."""
        with self._lock:
            queue = self._queues.get(node)
            if queue is not None:
                _pass_all(queue)
                queue.delay_s = 0.0

    def holds(self, node: str) -> float:
        """How long what arrives at a node is held, in milliseconds."""
        queue = self._queues.get(node)
        return queue.delay_s * 1000 if queue else 0.0

    def _serve(self) -> None:
        while True:
            with self._lock:
                queues = list(self._queues.values())
                due = [queue.held[0][1] + queue.delay_s for queue in queues if queue.held]
                readable: list[int | socket.socket] = [
                    self._woken,
                    *(queue.socket for queue in queues),
                ]
            wait_s = max(0.0, min(due) - time.monotonic()) if due else IDLE_S
            with contextlib.suppress(OSError, ValueError):  # a queue closed with its node
                if self._woken in select.select(readable, [], [], wait_s)[0]:
                    os.read(self._woken, 64)
            with self._lock:
                for queue in self._queues.values():
                    _take(queue)
                    _pass_due(queue)


def _take(queue: _Queue) -> None:
    """Note the packets that came."""
    now = time.monotonic()
    with contextlib.suppress(BlockingIOError):
        while True:
            message = queue.socket.recv(65_536)
            if struct.unpack_from("=H", message, 4)[0] == SUBSYSTEM | PACKET:
                queue.held.append((struct.unpack_from("!I", message, ID_AT)[0], now))


def _pass_all(queue: _Queue) -> None:
    _take(queue)
    if queue.held:
        _let_pass(queue.socket, queue.held[-1][0])
        queue.held.clear()


def _pass_due(queue: _Queue) -> None:
    """Let pass what was held long enough."""
    latest, last = time.monotonic() - queue.delay_s, None
    while queue.held and queue.held[0][1] <= latest:
        last = queue.held.popleft()[0]
    if last is not None:
        _let_pass(queue.socket, last)


def _let_pass(opened: socket.socket, last: int) -> None:
    with contextlib.suppress(OSError):  # the node is gone, and its packets with it
        opened.send(
            _message(VERDICT_BATCH, REQUEST, VERDICT_HEADER, struct.pack("!II", ACCEPT, last))
        )


def open_queue(pid: int) -> socket.socket:
    """The queue of a process's network, ready to be read.

    Raises:
        OSError: the kernel has none, or another process serves it.
    """
    opened = _socket_in(pid)
    try:
        for attribute, value in (
            (CFG_COMMAND, struct.pack("!BBH", BIND, 0, socket.AF_INET)),
            (CFG_PARAMS, struct.pack("!IB", 0, COPY_META)),
            (CFG_MOST, struct.pack("!I", HELD_PACKETS)),
        ):
            _ask(opened, _message(CONFIG, REQUEST | ACKNOWLEDGE, attribute, value))
        flags = struct.pack("!I", WHOLE_BURSTS)
        mask = _attribute(CFG_MASK, flags)
        _ask(opened, _message(CONFIG, REQUEST | ACKNOWLEDGE, CFG_FLAGS, flags, more=mask))
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        opened.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
    except OSError:
        opened.close()
        raise
    opened.settimeout(0.0)
    return opened


def _socket_in(pid: int) -> socket.socket:
    """A netlink socket in the network of a process; this thread comes back to its own."""
    library = ctypes.CDLL(None, use_errno=True)
    network, own = Path(f"/proc/{pid}/ns/net"), Path("/proc/thread-self/ns/net")
    with network.open("rb") as there, own.open("rb") as here:
        if library.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "entering the network of a node")
        try:
            return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        finally:
            library.setns(here.fileno(), CLONE_NEWNET)


def _ask(opened: socket.socket, message: bytes) -> None:
    opened.send(message)
    while True:
        reply = opened.recv(65_536)
        if struct.unpack_from("=H", reply, 4)[0] == ERROR:
            code = struct.unpack_from("=i", reply, 16)[0]
            if code:
                raise OSError(-code, os.strerror(-code))
            return


def _message(kind: int, flags: int, attribute: int, value: bytes, more: bytes = b"") -> bytes:
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, QUEUE) + more + _attribute(attribute, value)
    return struct.pack("=IHHII", 16 + len(body), SUBSYSTEM | kind, flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
