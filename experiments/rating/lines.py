"""A file to which lines are added, each durable before the next; one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from core.durable import sync, writing
from core.errors import HerdError
from core.record import LARGEST_RECORD_BYTES, open_regular, read_file


class Lines:
    """An open file of records, a line each."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def add(self, record: BaseModel) -> None:
        """Add a record durably.

        Raises:
            HerdError: it could not be stored; the file is then as it was.
        """
        with writing("a judgement", self.path):
            end = os.lseek(self._descriptor, 0, os.SEEK_END)
            try:
                _write(self._descriptor, f"{record.model_dump_json()}\n".encode())
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, end)
                raise


@contextmanager
def adding_lines(path: Path, rater: str) -> Iterator[Lines]:
    """Open a file to add to; what a crash tore off its end is cut away.

    Args:
        path: the file; it is made where it is not there, its folder, too.
        rater: whose it is, for messages.

    Raises:
        HerdError: another process has it open so, or it cannot be written.
    """
    with writing(f"the ratings of {rater}", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HerdError(
                f"Another `fab rate` of {rater} is running. End it with Ctrl-C, or use another "
                "name with --rater."
            ) from None
        with writing(f"the ratings of {rater}", path):
            sync(path.parent)
            whole = read_file(path.parent, path.name, LARGEST_RECORD_BYTES).rfind(b"\n") + 1
            os.ftruncate(descriptor, whole)
        yield Lines(path, descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
