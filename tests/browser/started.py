"""A page that a verb serves from a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


class Started:
    """A process that prints a line, then `Open` with the address of its page.

    Attributes:
        first: the line before the address.
        url: the address.
        said: what it prints from then on.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.said = self.process.stdout
        self.first = self.said.readline().strip()
        self.url = self.said.readline().strip().removeprefix("Open ")

    def kill(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.wait()


@contextmanager
def starting(program: str, folder: Path) -> Iterator[Callable[[], Started]]:
    """Start a Python program as often as asked, and kill what is left of it in the end.

    Args:
        program: its text; its first argument is the folder.
        folder: what the page shows.
    """
    started: list[Started] = []

    def start() -> Started:
        started.append(Started(program, folder))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            one.kill()
            one.said.close()
