"""Writing so that a kill or a power cut leaves either the whole thing or nothing.

What must appear whole is written under a temporary name, made durable with fsync (file, then
folder), and renamed. Renaming is atomic on every POSIX file system.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import HerdError
from core.record import open_regular, why

MEASURED_IS_SAFE = "Everything measured before is safe."


@contextmanager
def writing(
    what: str, where: Path, *, kept: str = MEASURED_IS_SAFE, elsewhere: str = ""
) -> Iterator[None]:
    """Turn what the operating system says about a write into a message for the user.

    Args:
        what: is written.
        where: the file or the folder.
        kept: what the user still has, one sentence.
        elsewhere: how to write to another disk, for example `or set NAME to another folder`.

    Raises:
        HerdError: the disk is full or read-only, or permission is lacking.
    """
    with disk_errors(f"Writing {what} to {where}", kept=kept, elsewhere=elsewhere):
        yield


@contextmanager
def disk_errors(doing: str, *, kept: str, elsewhere: str = "") -> Iterator[None]:
    """As `writing`, for work that does more than to write.

    Args:
        doing: the beginning of the message, with the place: `Fetching x.gguf into FOLDER`.
        kept: as for `writing`.
        elsewhere: as for `writing`.

    Raises:
        HerdError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise HerdError(disk_is_full(doing, kept, elsewhere)) from error
        raise HerdError(
            f"{doing}: {why(error)}. {kept} Fix this{_or(elsewhere)} and repeat the command."
        ) from error


def is_full(error: OSError) -> bool:
    """Whether the operating system, or numpy on its behalf, says that a disk is full."""
    # numpy's tofile gives no number, only "N requested and M written"
    return error.errno in {errno.ENOSPC, errno.EDQUOT} or "requested and" in str(error)


def disk_is_full(doing: str, kept: str, elsewhere: str = "") -> str:
    """The message for a full disk; the arguments are those of `disk_errors`."""
    return (
        f"{doing}: the disk of this machine is full. {kept} Free some space{_or(elsewhere)} and "
        "repeat the command."
    )


def _or(elsewhere: str) -> str:
    return elsewhere and f" {elsewhere}"


def write_file(path: Path, content: bytes) -> None:
    """Create a file and make its content durable; never through an existing link."""
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
    sync(path.parent)


def sync(path: Path) -> None:
    """Make durable what was written to a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def land(temporary: Path, final: Path) -> None:
    """Give a finished file or folder its name: a power cut leaves the old one or the new one."""
    sync(temporary)
    temporary.rename(final)
    sync(final.parent)


def land_instead(temporary: Path, final: Path, *, of_any: bool = False) -> None:
    """Give a finished folder the name of one that is there, which is deleted.

    At each moment the old one or the new one has the name. Where the file system cannot exchange
    two names, a kill may leave the old one as `.old-<name>`, which the next call deletes.

    Args:
        temporary: the finished folder.
        final: its name.
        of_any: a file or a link of that name is deleted, too; what it leads to stays.

    Raises:
        OSError: the disk refuses, or `final` is a file or a link, which stays.
    """
    if of_any and (final.is_symlink() or final.is_file()):
        final.unlink()
    if not final.is_dir() or final.is_symlink():
        land(temporary, final)
        return
    sync(temporary)
    aside = temporary
    if not _exchanged(temporary, final):
        aside = final.with_name(f".old-{final.name}")
        remove_folder(aside)
        final.rename(aside)
        temporary.rename(final)
    sync(final.parent)
    remove_folder(aside)


_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of renameat2(2), which Python does not have."""


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names at once; False where system or file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}:
        return False
    raise OSError(number, os.strerror(number), str(other))


def remove_folder(folder: Path) -> None:
    """Delete a folder with its content, or a file; one that no longer exists is fine.

    Of a link only the link goes, and what it leads to stays.
    """
    if folder.is_symlink() or folder.is_file():
        folder.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
