"""Folders for work in progress: of a process that lives they stay, those of killed ones go."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.durable import remove_folder
from core.record import open_regular

_MARK, _WORK = "llama-herd.lock", "new"
_RANDOM = "[a-z0-9_]{8}"
"""What `tempfile` puts behind a prefix."""


@contextmanager
def scratch(parent: Path, stem: str) -> Iterator[Path]:
    """An empty folder below `parent/.<stem>-…` that is gone afterwards.

    Folders of this stem that a killed process left there go first. Only those with this module's
    mark count, and the lock on it shows that no process works there.

    Args:
        parent: exists, and is on the disk that the result is for.
        stem: says for what it is.

    Raises:
        OSError: the disk is full or refuses.
    """
    _clear(parent, stem)
    folder = Path(tempfile.mkdtemp(prefix=f".{stem}-", dir=parent))
    lock = -1
    try:
        lock = _marked(folder)
        (folder / _WORK).mkdir()
        yield folder / _WORK
    finally:
        _remove(folder)
        if lock >= 0:
            os.close(lock)


def _marked(folder: Path) -> int:
    """Mark a folder as one of this process; the mark appears locked."""
    unlocked = folder / f".tmp-{_MARK}"
    lock = open_regular(unlocked, os.O_RDWR | os.O_CREAT)
    with suppress(OSError):  # without locks there is no mark, and no one clears the folder
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(folder / _MARK)
    return lock


def _clear(parent: Path, stem: str) -> None:
    name = re.compile(rf"\.{re.escape(stem)}-{_RANDOM}")
    for folder in sorted(parent.iterdir()):
        if name.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            with suppress(OSError):  # it has no mark, or its process works there
                lock = open_regular(folder / _MARK, os.O_RDWR)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(folder)
                finally:
                    os.close(lock)


def _remove(folder: Path) -> None:
    """Delete a folder, its mark last: a kill in between leaves one that can be cleared."""
    remove_folder(folder / _WORK)
    remove_folder(folder)
