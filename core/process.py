"""Processes of this machine: whether one that was named before still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field

from core.foreign import Count
from core.record import Record, Words

PROC = Path("/proc")
_AFTER_NAME = 19
"""Fields of /proc/PID/stat between the program's name and the time at which it started."""


class ProcessMark(Record):
    """A process, so that another one with the same number is not taken for it.

    Attributes:
        host: name of its machine.
        boot: what the kernel calls this time of running (`boot_id`).
        pid: its number.
        started: when it began, in the kernel's ticks since the machine was booted.
    """

    host: Words
    boot: Words
    pid: Annotated[int, Field(strict=True, gt=0)]
    started: Count

    @classmethod
    def me(cls) -> ProcessMark:
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """Name a process of this machine that lives."""
        return cls(host=socket.gethostname(), boot=_boot(), pid=pid, started=_started(pid) or 0)

    def lives(self) -> bool | None:
        """Whether it does; None for a process of another machine, which cannot be seen here."""
        if self.boot != _boot():
            return False if self.host == socket.gethostname() else None
        return _started(self.pid) == self.started


def _boot() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """When a process began; None where there is none, or only what is left of one."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name is in parentheses and may hold any character.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[_AFTER_NAME - 1])
