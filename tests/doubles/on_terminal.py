"""A program on a terminal of its own: what it prints there, and what is typed."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

# The terminal becomes the one at which passwords are asked for, then the program takes over.
TAKES_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def on_terminal(
    argv: Sequence[str],
    folder: Path,
    *,
    columns: int = 80,
    asked: bytes = b"",
    typed: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> str:
    """All that a program prints on a terminal of so many columns.

    Args:
        argv: the program and its arguments.
        folder: in which it runs.
        columns: of the terminal.
        asked: what it prints before it waits for an answer.
        typed: the answer.
        environment: beside this process's.
    """
    ours, its = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    child = subprocess.Popen(
        [sys.executable, "-c", TAKES_TERMINAL, *argv],
        cwd=folder,
        env={**kept, **(environment or {})},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # as Linux ends it
            break
        if not piece:
            break
        said += piece
        if typed and asked in said:
            os.write(ours, typed)
            typed = b""
    child.wait()
    os.close(ours)
    return said.decode()
