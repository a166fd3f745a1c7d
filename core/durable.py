"""Writing so that a kill or a power cut leaves either the whole thing or nothing.

What must appear whole is written under a temporary name, made durable with fsync (file, then
folder), and renamed. Renaming is atomic on every POSIX file system.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import HerdError
from core.record import open_regular, why

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(what: str, where: Path) -> Iterator[None]:
    """Turn what the operating system says about a write into a message for the user.

    Raises:
        HerdError: the disk is full or read-only, or permission is lacking.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise HerdError(
                f"Writing {what} to {where}: the disk of this machine is full. Everything "
                "measured before is safe. Free some space and give the same command again; it "
                "continues where it stopped."
            ) from None
        raise HerdError(
            f"Writing {what} to {where}: {why(error)}. Everything measured before "
            "is safe. Put this right and give the same command again."
        ) from None


def write_file(path: Path, content: bytes) -> None:
    """Create a file and make its content durable; never through a link that lies there."""
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file such that a power cut leaves the old one or the new one."""
    temporary = path.with_name(f".tmp-{path.name}")
    write_file(temporary, content)
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def land(temporary: Path, final: Path) -> None:
    """Give a finished folder its name, durably."""
    sync_folder(temporary)
    temporary.rename(final)
    sync_folder(final.parent)


def remove_folder(folder: Path) -> None:
    """Delete a folder and what is in it, or a file; what is gone already is well.

    Of a link only the link goes, and what it leads to stays.
    """
    if folder.is_symlink() or folder.is_file():
        folder.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
