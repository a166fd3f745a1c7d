"""A program that was started for a conversation: OpenSSH's client, or a program of this machine."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from core.foreign import one_line

MARK = "llama-herd-is-in"
"""What the other side prints first, on a separate line, after a login shell's output."""
_MARK = f"{MARK}\n".encode()
NOISE_BYTES = 1 << 20
"""What may come before the mark."""
SAID_BYTES = 1 << 14
"""What is kept of standard error, from its end."""
PIECE_BYTES = 1 << 16
LAST_WORDS_S = 0.5
BROKEN = 255
"""Exit status of OpenSSH's client itself; any other is that of the program on the node."""
END_S = 2.0
"""How long a program that was killed may take to end."""


class SilentError(Exception):
    """The program did not say its mark; the message says what happened instead, half a sentence.

    Attributes:
        let_in: whether it was the other side's shell that failed, and not the way there.
        of_windows: whether that shell is one of Windows'.
    """

    def __init__(self, message: str, *, let_in: bool, of_windows: bool = False) -> None:
        super().__init__(message)
        self.let_in = let_in
        self.of_windows = of_windows


class Channel:
    """Both ends of a program's standard input and output, and what it says on standard error.

    It has its own session, so the terminal's Ctrl-C does not end it before we have said
    goodbye, and nothing that it starts can ask the terminal for anything.

    Args:
        argv: the program.
        folder: where it runs.
        environment: its environment.
        is_killed: whether `close` kills it; else it is left to end when its input ends.

    Attributes:
        noise: what a login shell printed before the mark.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        is_killed: bool = True,
    ) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process: subprocess.Popen[bytes] = subprocess.Popen(
                    argv,
                    cwd=folder,
                    env=environment,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                    bufsize=0,
                )
            except BaseException:
                self._socket.close()
                raise
        assert self._process.stderr is not None  # noqa: S101 - as asked for
        self._stderr = self._process.stderr
        self._stderr_fd = self._stderr.fileno()
        os.set_blocking(self._stderr_fd, False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._poll.register(self._stderr_fd, select.POLLIN)
        self._is_killed = is_killed
        self._timeout_s = 0.0
        self._came = b""
        self.noise = b""
        self._said = b""
        self._lock = Lock()
        self._is_closed = False
        self._is_deaf = False

    def settimeout(self, seconds: float) -> None:
        """How long each of the following calls may take, in seconds."""
        self._timeout_s = seconds

    def await_mark(self, seconds: float) -> None:
        """Pass over what comes before the mark.

        Raises:
            SilentError: it does not come.
        """
        until = time.monotonic() + seconds
        came = b""
        while _MARK not in came:
            self.settimeout(max(0.0, until - time.monotonic()))
            try:
                piece = self.recv(PIECE_BYTES)
            except TimeoutError:
                raise SilentError(f"nothing came for {seconds:.0f} s", let_in=False) from None
            except OSError:
                piece = b""
            if not piece:
                raise self._mute(came)
            came += piece
            if len(came) > NOISE_BYTES:
                raise SilentError("its shell did not stop printing", let_in=True)
        self.noise, _, self._came = came.partition(_MARK)

    def _mute(self, came: bytes) -> SilentError:
        """The error for a program that ended without saying its mark."""
        said, status = self.last_said(), self.status()
        if status in (BROKEN, None) or status < 0:
            return SilentError("it ended", let_in=False)
        if MARK.encode() in came:  # as cmd and PowerShell print it
            return SilentError("its shell is a Windows shell", let_in=True, of_windows=True)
        last = one_line(came[-PIECE_BYTES:].decode("utf-8", "replace").strip().rpartition("\n")[2])
        told = f" ({said or last})" if said or last else ""
        return SilentError(f"its shell ended with status {status}{told}", let_in=True)

    def send(self, data: bytes) -> int:
        """Write some of it and return how much.

        Raises:
            OSError: it has ended, or took nothing in time.
        """
        self._socket.settimeout(self._timeout_s)
        return self._socket.send(data)

    def sendall(self, data: bytes) -> None:
        """Write all of it. Raises OSError, as `send`."""
        self._socket.settimeout(self._timeout_s)
        self._socket.sendall(data)

    def recv(self, most_bytes: int) -> bytes:
        """What is there, at most so much; nothing at the end.

        Raises:
            TimeoutError: nothing came in time.
            OSError: it has ended.
        """
        if self._came:
            piece, self._came = self._came[:most_bytes], self._came[most_bytes:]
            return piece
        until = time.monotonic() + self._timeout_s
        while not self._is_closed:  # by another thread
            left_s = max(0.0, until - time.monotonic())
            ready = [fd for fd, _ in self._poll.poll(left_s * 1000)]
            if self._socket.fileno() in ready:
                self._socket.settimeout(0.0)
                return self._socket.recv(most_bytes)
            if ready:
                self._hear()  # else it could not go on once that pipe is full
            if not ready or left_s <= 0:
                raise TimeoutError
        raise OSError(errno.EBADF, "closed")

    def shutdown_write(self) -> None:
        """Close its input. Raises OSError if it has ended."""
        self._socket.shutdown(socket.SHUT_WR)

    def said(self) -> str:
        """The end of what it said on standard error, line by line."""
        until = time.monotonic() + LAST_WORDS_S
        listening = select.poll()
        if not self._is_deaf:
            listening.register(self._stderr, select.POLLIN)
        while not self._is_deaf and listening.poll(max(0.0, until - time.monotonic()) * 1000):
            self._hear()
        return self._said.decode("utf-8", "replace").replace("\r", "")

    def last_said(self) -> str:
        """The last line of that."""
        lines = [line for line in self.said().splitlines() if line.strip()]
        return one_line(lines[-1]) if lines else ""

    def _hear(self) -> None:
        """Take what is there of standard error."""
        try:
            piece = self._stderr.read(PIECE_BYTES)
        except (OSError, ValueError):  # another thread closed it
            piece = b""
        if piece == b"" and not self._is_deaf:
            self._is_deaf = True
            self._poll.unregister(self._stderr_fd)
        self._said = (self._said + (piece or b""))[-SAID_BYTES:]

    def status(self) -> int | None:
        """How it ended: an exit status, or less than 0 for a signal; None if it has not."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(LAST_WORDS_S)
        return None

    def close(self) -> None:
        """End it without waiting for the other side."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = self._is_deaf = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # whoever waits for it sees that at once
        if self._is_killed and self._process.returncode is None:  # else its number may be another's
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self._socket.close()
        self._stderr.close()
