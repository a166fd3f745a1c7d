"""Units that run, and those that are not ready yet."""

from __future__ import annotations

import contextlib
import os
import re
import select
import time

from herd_node import places
from herd_node.ground import DAY_S, GONE_S, PIECE_BYTES, content, entries
from herd_node.messages import UNIT_NAME, Reply, Request
from herd_node.node import listening_inodes
from herd_node.privileges import (
    delete_log,
    forget_unit,
    log_bytes,
    read_log,
    running_units,
    stop_unit,
)
from herd_node.systemd import Systemd

LOG_NAME = re.compile(UNIT_NAME.pattern + r"\.(?:out|err)")
LOG_BYTES = 64 << 20
"""Of a log that is handed over at once."""


class Unit:
    """A unit of ours.

    Attributes:
        pid: its main process; 0 until it has one.
        pidfd: readable when that has ended; None if it has.
    """

    def __init__(self, systemd: Systemd, name: str, *, begun: bool = False) -> None:
        self.name = name
        self._systemd = systemd
        self.pid = 0
        self.pidfd: int | None = None
        until = time.monotonic() + GONE_S
        while not self.pid and time.monotonic() < until:
            self.pid = systemd.number(name, Systemd.SERVICE, "ExecMainPID", "u") or 0
            if not self.pid:
                state = systemd.word(name, Systemd.UNIT, "ActiveState")
                # One that was just begun is inactive until systemd comes to it.
                if state == "failed" or (state == "inactive" and not begun):
                    break
                time.sleep(0.0005)
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                self.pidfd = os.pidfd_open(self.pid)

    def ended(self) -> bool:
        """Whether its main process has ended."""
        if self.pidfd is None:
            return True
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def unwell(self) -> str | None:
        """What is wrong with its main process, a verb with its object; None if nothing is."""
        if self.ended():
            return "had ended"
        state = content(f"/proc/{self.pid}/stat").rpartition(")")[2].strip()[:1]
        return "was frozen" if state in ("T", "t") else None

    def shown(self) -> dict[str, object]:
        """What systemd knows of it; `ActiveState` is systemd's word for running or not."""
        number, word = self._systemd.number, self._systemd.word
        service, unit = Systemd.SERVICE, Systemd.UNIT
        if self.pid and self.ended():
            self._await_reaping()
        shown: dict[str, object] = {
            "ActiveState": word(self.name, unit, "ActiveState"),
            "Result": word(self.name, service, "Result"),
            "ExecMainCode": number(self.name, service, "ExecMainCode", "i"),
            "ExecMainStatus": number(self.name, service, "ExecMainStatus", "i"),
        }
        for member in (
            "ExecMainStartTimestamp",
            "ExecMainStartTimestampMonotonic",
            "ExecMainExitTimestampMonotonic",
            "CPUUsageNSec",
            "MemoryPeak",
            "IPIngressBytes",
            "IPEgressBytes",
        ):
            shown[member] = number(self.name, service, member)
        return shown

    def used(self) -> dict[str, object]:
        """CPU time and peak of memory of the main process while it lives, by /proc.

        It counts where control groups do not.
        """
        status = content(f"/proc/{self.pid}/status")
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        times = content(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        if self.ended() or not times:
            return {}
        return {
            "CPUUsageNSec": (int(times[11]) + int(times[12])) * 1_000_000_000 // ticks,
            "MemoryPeak": int(peak[1]) * 1024 if peak else None,
        }

    def stop(self) -> None:
        """Stop it and wait until its main process is gone."""
        stop_unit(self._systemd, self.name)
        if self.pidfd is not None:
            select.select([self.pidfd], [], [], GONE_S)

    def forget(self, within_s: float = GONE_S) -> None:
        """Wait until it has stopped, let systemd forget it, and delete its logs."""
        self.close()
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            state = self._systemd.word(self.name, Systemd.UNIT, "ActiveState")
            if state in ("inactive", "failed", ""):
                break
            time.sleep(0.001)
        forget_unit(self._systemd, self.name)

    def close(self) -> None:
        """Give back what watches the process."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def logs(self, reply: Reply, out_from: int = 0, err_from: int = 0) -> None:
        """Add what it wrote, from these places on, to a reply, and the places where that ends."""
        ends: dict[str, object] = {}
        for kind, begin in (("out", out_from), ("err", err_from)):
            end = log_bytes(self.name, kind)
            if end is not None:
                ends[kind] = max(begin, end)
                reply.part(kind, handed(self.name, kind, begin, end))
        reply.pairs("ends", ends)

    def _await_reaping(self) -> None:
        """The process is gone; PID 1 takes a moment to account for it."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            if self._systemd.number(self.name, Systemd.SERVICE, "ExecMainExitTimestampMonotonic"):
                return
            time.sleep(0.0005)


def handed(unit: str, kind: str, begin: int, end: int) -> bytes:
    """A log between two places: whole up to LOG_BYTES, else its first and last lines."""
    if end - begin <= LOG_BYTES:
        return read_log(unit, kind, begin, max(0, end - begin))
    first = read_log(unit, kind, begin, LOG_BYTES // 4 * 3)
    first = first[: first.rfind(b"\n") + 1] or first + b"\n"
    last = read_log(unit, kind, end - LOG_BYTES // 4, LOG_BYTES // 4)
    last = last[last.find(b"\n") + 1 :]
    left_out = end - begin - len(first) - len(last)
    mark = f"[herd-node: {left_out} bytes of this log are left out here, it has {end - begin}]\n"
    return first + mark.encode() + last


class Launch:
    """A worker or a server that is not ready yet.

    It is ready when its port listens, if one was named, and its log holds a line, if one was
    named. Nothing connects to it.
    """

    def __init__(self, unit: Unit, reply: Reply, request: Request) -> None:
        self._unit = unit
        self._reply = reply
        self._port = request.port()
        self._line = request.text("line").encode()
        self._ready_s = request.number("ready", DAY_S, default="30")
        self._begun = time.monotonic()
        self._read = {"out": 0, "err": 0}
        self._said = not self._line
        self._ready = " and ".join(
            [f"it listened on port {self._port}"] * (self._port is not None)
            + [f"its log said {request.text('line')!r}"] * bool(self._line)
        )

    def settled(self) -> bool:
        """Look whether it is ready or never will be; answers then."""
        ended = self._unit.ended()
        self._said = self._said or self._says()
        if ended:
            self._reply.refuse(f"it ended before {self._ready}")
        elif self._said and (self._port is None or listening_inodes(self._port)):
            self._reply.send()
        elif time.monotonic() > self._begun + self._ready_s:
            self._reply.refuse(f"{self._ready_s} s went by before {self._ready}")
        else:
            return False
        return True

    def pause_s(self) -> float:
        """Until the next look: a twentieth of the time waited so far, between 4 ms and 250 ms.

        A worker listens at once. A server loads a model for minutes, and needs the processor.
        """
        return min(0.25, max(0.004, (time.monotonic() - self._begun) / 20))

    def _says(self) -> bool:
        """Whether the line is in what was logged since the last look, or runs into it."""
        for kind, begin in self._read.items():
            piece = read_log(self._unit.name, kind, begin, PIECE_BYTES)
            if self._line in piece:
                return True
            self._read[kind] = begin + max(0, len(piece) - len(self._line) + 1)
        return False


def stop_all(systemd: Systemd) -> list[str]:
    """Stop all units of ours and delete their logs; what did not stop."""
    names = running_units(systemd)
    for name in names:
        stop_unit(systemd, name)
    # They stop side by side, so what one needs is there for all.
    until = time.monotonic() + GONE_S
    for name in names:
        Unit(systemd, name).forget(max(0.0, until - time.monotonic()))
    for name in entries(places.ATTEMPTS):
        if LOG_NAME.fullmatch(name):  # a disk of its own has a lost+found there
            delete_log(name)
    return running_units(systemd)
