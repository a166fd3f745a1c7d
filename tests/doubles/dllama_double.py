"""The double of distributed-llama, built and started on this machine."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

SOURCE = Path(__file__).parent / "dllama_source"
HOST = "127.0.0.1"
SOON_S = 30
PORT = re.compile(r"(?<=:)\d+(?=\.\.\.|/v1/| worker| \()")


def build(folder: Path) -> Path:
    """Both programs, built in a folder as the role builds them."""
    for file in SOURCE.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    subprocess.run(["make", "--silent", "dllama", "dllama-api"], cwd=folder, check=True)
    return folder


def anonymous(log: str) -> str:
    """A log without the ports in it."""
    return PORT.sub("PORT", log)


class Started:
    """A program that listens on a free port of this machine.

    Args:
        command: without `--port`.
        log: its standard output goes there, and standard error beside it.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            self.port = free.getsockname()[1]
        self.out, self.err = log.with_suffix(".out"), log.with_suffix(".err")
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                ["stdbuf", "-oL", *command, "--port", str(self.port)], stdout=out, stderr=err
            )

    def wait_for(self, words: str, times: int = 1) -> None:
        """Wait until its log has these words so often."""
        limit = time.monotonic() + SOON_S
        while self.out.read_text().count(words) < times:
            assert time.monotonic() < limit, f"{words} did not come: {self.out.read_text()}"
            time.sleep(0.01)

    @property
    def lines(self) -> list[str]:
        """Of its log, without ports."""
        return anonymous(self.out.read_text()).splitlines()

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
