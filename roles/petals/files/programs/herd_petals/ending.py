"""Ends a program at once, with all that it started.

Upstream says goodbye to a swarm in tens of seconds, and to peers that are gone not at all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

import psutil


def end(status: int) -> NoReturn:
    """End this process, its children first."""
    sys.stdout.flush()
    sys.stderr.flush()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(status)


def fail(error: object) -> NoReturn:
    """Say why, and end."""
    sys.stderr.write(f"error: {error}\n")
    end(1)


def end_by_sigint() -> None:
    """Have SIGINT end the program well, also where a shell had it ignored."""
    owner = os.getpid()

    def handler(*_: object) -> None:
        if os.getpid() == owner:  # forked helpers end with it
            end(0)

    signal.signal(signal.SIGINT, handler)
