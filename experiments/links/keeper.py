"""Root's part of shaping links: a process that lives as long as the runner and undoes what it did.

    python -m experiments.links.keeper serve     requests and replies, a line of JSON each
    python -m experiments.links.keeper method    how this machine can delay packets

When its standard input ends, and that it does however the runner ends, all links become the lab's
own again. A file for each node below /run records meanwhile that its link is changed; a killed
process leaves it, and the next run restores the link before it measures. The file's lock keeps two
of these from one node.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from experiments.links.queue import Delayer, open_queue
from experiments.links.shape import (
    DEVICE,
    Method,
    Shape,
    bucket,
    node_end,
    queue_rule,
    round_trip_ms,
    told_shape,
)

MARKS = Path("/run/llama-herd-links")
LOCK_S = 20.0
PINGS = ("ping", "-U", "-n", "-q", "-c", "3", "-i", "0.01", "-W", "5")


class KeeperError(Exception):
    """What could not be done to which node.

    Attributes:
        node: its name.
    """

    def __init__(self, node: str, text: str) -> None:
        super().__init__(text)
        self.node = node


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """Where a node's link is.

    Attributes:
        pid: of the node's first process, as this machine counts.
        started: when that began, which distinguishes it from another one with its number.
        device: this machine's end of the link.
    """

    pid: int
    started: str
    device: str


class Keeper:
    """Shapes links and puts them back."""

    def __init__(self) -> None:
        self._places: dict[str, LinkEnd] = {}
        self._marks: dict[str, IO[str]] = {}
        self._own: dict[str, int] = {}
        self._delayer = Delayer()
        self._method: Method | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request.

        A request names `nodes` (name to the lab's own rate), the `shape` that they should have
        (`mbit`, `delay_ms`; rate 0 is the lab's own), whether it may `change` anything, and
        addresses (`ping`: from the first node to another, or none).
        """
        own: dict[str, int] = request["nodes"]
        wanted = Shape(**request["shape"])
        self._own |= own

        def have(node: str) -> bool:
            shape = Shape(wanted.mbit or own[node], wanted.delay_ms)
            return self._have(node, shape, change=request["change"])

        try:
            with ThreadPoolExecutor(max_workers=max(1, len(own))) as pool:
                changed = any(list(pool.map(have, own)))
                if changed:
                    list(pool.map(self._forget_neighbours, own))
            trip_ms = self._ping(next(iter(own)), request["ping"]) if request["ping"] else None
        except KeeperError as error:
            return {"node": error.node, "error": str(error)}
        method = self._delaying() if wanted.delay_ms else None
        return {"changed": changed, "round_trip_ms": trip_ms, "method": method}

    def restore(self) -> None:
        """Give every node that was shaped the lab's own link."""
        for node, mbit in self._own.items():
            try:
                self._have(node, Shape(mbit), change=True)
            except KeeperError:  # it does not run any more, and a new link is not shaped
                continue

    def _have(self, node: str, wanted: Shape, *, change: bool) -> bool:
        """Make a link as wanted; return whether that changed anything.

        The first time it is set in any case: of a rule without its queue nothing can be read.
        """
        place = self._place(node)
        found = self._read(node, place)
        if found == wanted and node in self._marks:
            return False
        if not change:
            raise KeeperError(node, f"the link of {node} is {found or 'unshaped'}, not {wanted}")
        self._mark(node, shaped=True)
        self._set(node, place, wanted)
        found = self._read(node, place)
        if found != wanted:
            raise KeeperError(
                node, f"the link of {node} should be {wanted}, but is {found or 'unshaped'}"
            )
        self._mark(node, shaped=wanted != Shape(self._own[node]))
        return True

    def _set(self, node: str, place: LinkEnd, wanted: Shape) -> None:
        doing = f"shaping the link of {node}"
        method = self._delaying() if wanted.delay_ms else None
        for arguments in node_end(wanted, method):
            _run(node, doing, *_inside(place), "tc", *arguments)
        _run(node, doing, "tc", *bucket(wanted.mbit, place.device, "root"))
        self._delayer.release(node)
        queued = _succeeds(*_inside(place), *queue_rule("-C"))
        if method == "queue":
            if not queued:
                _run(node, doing, *_inside(place), *queue_rule("-A"))
            try:
                self._delayer.hold(node, place.pid, wanted.delay_ms / 2)
            except OSError as error:
                raise KeeperError(node, f"{doing}: its queue of packets: {error}") from error
        elif queued:
            _run(node, doing, *_inside(place), *queue_rule("-D"))

    def _read(self, node: str, place: LinkEnd) -> Shape | None:
        """The link as it is; None where an end is not shaped or both differ."""
        doing = f"reading the link of {node}"
        show = ("tc", "-json", "qdisc", "show", "dev")
        inner = told_shape(_run(node, doing, *_inside(place), *show, DEVICE))
        outer = told_shape(_run(node, doing, *show, place.device))
        if inner is None or outer is None or inner.mbit != outer.mbit:
            return None
        return Shape(inner.mbit, inner.delay_ms + round(2 * self._delayer.holds(node)))

    def _place(self, node: str) -> LinkEnd:
        """Where a node's link is; looked up again when the node was restarted."""
        known = self._places.get(node)
        if known is None or _started(known.pid) != known.started:
            self._delayer.release(node)
            pid = _pid(node)
            known = LinkEnd(pid, _started(pid), _host_end(node, pid))
            self._places[node] = known
        return known

    def _mark(self, node: str, *, shaped: bool) -> None:
        """Record for later runs whether a link differs from the lab's own."""
        mark = self._marks.get(node)
        if mark is None:
            MARKS.mkdir(mode=0o755, exist_ok=True)
            mark = (MARKS / node).open("a+", encoding="ascii")
            deadline = time.monotonic() + LOCK_S
            while not _locked(mark):
                if time.monotonic() > deadline:
                    raise KeeperError(node, f"another process shapes the link of {node}")
                time.sleep(0.05)
            self._marks[node] = mark
        mark.truncate(0)
        if shaped:
            mark.write("shaped\n")
        mark.flush()

    def _ping(self, node: str, address: str) -> float | None:
        """The fastest of some round trips from a node to an address."""
        enter = ("nsenter", "--target", str(self._places[node].pid), "--mount", "--net")
        return round_trip_ms(
            _run(node, f"a ping from {node} to {address}", *enter, *PINGS, address)
        )

    def _forget_neighbours(self, node: str) -> None:
        """A node that was started again has another hardware address; others learn it late."""
        flush = ("ip", "neigh", "flush", "dev", DEVICE)
        _run(node, f"updating the neighbours of {node}", *_inside(self._places[node]), *flush)

    def _delaying(self) -> Method:
        """How packets are delayed here; the plan has seen that they can be."""
        if self._method is None:
            self._method = "netem" if has_netem() else "queue"
        return self._method


def has_netem() -> bool:
    """Return whether the kernel can delay packets; tried in a separate network."""
    return _succeeds(
        *("unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    )


def has_queue() -> bool:
    """Return whether the kernel hands packets to a queue; tried in a separate network."""
    if not _succeeds("unshare", "--net", *queue_rule("-A")):
        return False
    with subprocess.Popen(
        ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None and other.stdout is not None  # noqa: S101, PT018
        other.stdin.write(b"ready\n")
        other.stdin.flush()
        other.stdout.readline()  # it is in its own network by now
        try:
            open_queue(other.pid).close()
        except OSError:
            return False
        finally:
            other.stdin.close()
    return True


def _inside(place: LinkEnd) -> tuple[str, ...]:
    return ("nsenter", "--target", str(place.pid), "--net")


def _locked(mark: IO[str]) -> bool:
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _pid(node: str) -> int:
    said = _run(
        node,
        f"looking for the node {node}",
        *("podman", "inspect", "--type=container", "--format={{.State.Pid}}", node),
    )
    if not int(said):
        raise KeeperError(node, f"the node {node} is not running")
    return int(said)


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _host_end(node: str, pid: int) -> str:
    """Return this machine's end of a node's veth pair, from the node's own /sys."""
    try:
        index = Path(f"/proc/{pid}/root/sys/class/net/{DEVICE}/iflink").read_text(encoding="ascii")
        return socket.if_indextoname(int(index))
    except OSError as error:
        raise KeeperError(node, f"the node {node} has lost its link: {error}") from error


def _run(node: str, doing: str, *argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise KeeperError(node, f"{doing}: {argv[0]} ended with {done.returncode}: {said}")
    return done.stdout


def _succeeds(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def serve_requests() -> None:
    """Answer requests until there are no more, then put everything back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Engines run ahead of all others; a packet must not wait for them besides.
    with contextlib.suppress(PermissionError):  # in a container root may lack that right
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    keeper = Keeper()
    try:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(keeper.answer(json.loads(line))) + "\n")
            sys.stdout.flush()
    finally:
        keeper.restore()


def method() -> Method | None:
    """How this machine can delay packets; None if it cannot."""
    if has_netem():
        return "netem"
    return "queue" if has_queue() else None


if __name__ == "__main__":
    if sys.argv[1:] == ["method"]:
        sys.stdout.write(f"{method() or ''}\n")
    else:
        serve_requests()
    sys.stdout.flush()
    os._exit(0)  # the delaying thread needs no farewell
