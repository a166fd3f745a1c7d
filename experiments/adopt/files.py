"""Rewrites users' files as a whole or not at all; owner, mode and links stay."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.durable import sync, write_file
from core.errors import HerdError
from core.record import why


def read_whole(path: Path) -> bytes | None:
    """What the file has; None if there is none.

    Raises:
        HerdError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HerdError(f"Reading {path}: {why(error)}.") from None


def replace_whole(path: Path, before: bytes | None, after: bytes) -> None:
    """Write the file unless another program has written it in the meantime.

    Args:
        path: the file, or a link to it, which stays one.
        before: what it had when `after` was made of it; None if it was not there.
        after: what it should have. A crash leaves it or what was there before.

    Raises:
        HerdError: it has changed, or may not be written.
    """
    try:
        target = Path(os.path.realpath(path))
        with _alone_in(target.parent):
            _replace(path, target, before, after)
    except OSError as error:
        raise HerdError(f"Writing {path}: {why(error)}.") from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others who replace a file from writing in this folder while the context lasts."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some network file systems cannot
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, target: Path, before: bytes | None, after: bytes) -> None:
    if read_whole(path) != before:
        raise HerdError(f"Writing {path}: it changed in the meantime. Repeat the command.")
    if before is not None and not os.access(target, os.W_OK):
        raise HerdError(f"Writing {path}: it is write-protected. chmod u+w {path}")
    temporary = target.with_name(f".tmp-{target.name}")
    write_file(temporary, after)
    if before is not None:
        shutil.copystat(target, temporary)
        _keep_owner(target, temporary)
        os.utime(temporary)
    temporary.replace(target)
    sync(target.parent)


def _keep_owner(target: Path, temporary: Path) -> None:
    there, here = target.stat(), temporary.stat()
    if (there.st_uid, there.st_gid) != (here.st_uid, here.st_gid):
        os.chown(temporary, there.st_uid, there.st_gid)
