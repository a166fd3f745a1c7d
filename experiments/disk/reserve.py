"""Room on this machine's disk for what is paid for, before it is asked.

An answer that cannot be written down is lost and would be asked, and paid, again. So the room that
a record may take is taken from the disk first; where there is none, no API is asked. Should writing
fail for another reason, see `experiments.disk.rescue`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from collect.attempt import TEMPORARY_PREFIX
from collect.workloads import Questions
from core.durable import writing
from experiments.engines.base import Cell

RESERVE_FILE = f"{TEMPORARY_PREFIX}reserve"
BYTES_FOR_ALL = 1 << 20
BYTES_PER_ANSWER = 1 << 14
BYTES_PER_TOKEN = 256
"""A piece of an answer with its moment, its text once more, and its other data."""


def room_for(cell: Cell) -> int:
    """Bytes that the record of a trial of an API may take; 0 for a trial that costs nothing."""
    workload = cell.workload
    if cell.endpoint is None or not isinstance(workload, Questions):
        return 0
    each = BYTES_PER_ANSWER + workload.max_tokens * BYTES_PER_TOKEN
    return BYTES_FOR_ALL + len(workload.asked) * each


@contextmanager
def reserved(folder: Path, size_bytes: int) -> Iterator[None]:
    """Hold so much room on a folder's disk while the context lasts.

    Raises:
        HerdError: there is not so much.
    """
    if not size_bytes:
        yield
        return
    path = folder / RESERVE_FILE
    try:
        with writing("the answers to come (no API was asked yet)", folder):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o644)
            try:
                os.posix_fallocate(descriptor, 0, size_bytes)
            finally:
                os.close(descriptor)
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
