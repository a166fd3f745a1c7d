"""The controller's cache: where it is, and how a file gets there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from core.errors import HerdError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.progress import Reporter

CACHE_VARIABLE = "LLAMA_HERD_CACHE"
_LOCK_WAIT_S = 3600
_MIB = 1024 * 1024


def cache_folder() -> Path:
    """Folder of downloads and built files: `$LLAMA_HERD_CACHE`, else `~/.cache/llama-herd`."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".cache" / "llama-herd"


@contextmanager
def only_one_at_a_time(folder: Path, doing: str, reporter: Reporter) -> Iterator[None]:
    """Hold the lock of `folder`, so that two commands do not prepare the same model twice.

    The operating system drops the lock of a process that dies.

    Raises:
        HerdError: the folder cannot be made, or another command held the lock for an hour.
    """
    with disk_errors(doing, folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            reporter.note(f"another command works in {folder}; waiting for it")
            try:
                lock.acquire(timeout=_LOCK_WAIT_S)
            except Timeout as error:
                raise HerdError(
                    f"{doing} waited an hour for another command that works in "
                    f"{folder}. End that command, then repeat this one."
                ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def landing(target: Path, size_bytes: int, doing: str) -> Iterator[Path]:
    """Give a temporary path to write; on success sync it and rename it to `target`.

    Call it while holding `only_one_at_a_time` of the folder: what a killed command left under the
    temporary name is then simply written over.

    Args:
        target: where the file lands; its folder exists afterwards.
        size_bytes: how large it will be, to refuse before writing what cannot fit.
        doing: the beginning of a message, for example "Writing x.gguf".

    Raises:
        HerdError: the disk is full or refuses; nothing half-written is left.
    """
    with disk_errors(doing, target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        require_free_space(target.parent, size_bytes, doing)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            yield temporary
            settle(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def landing_folder(target: Path, size_bytes: int, doing: str) -> Iterator[Path]:
    """Give a temporary folder to fill; on success sync it and rename it to `target`.

    Args:
        target: where the folder lands: there is none yet, or it is empty.
        size_bytes: how large its files will be, to refuse before writing what cannot fit.
        doing: the beginning of a message, for example "Writing model-folder".

    Raises:
        HerdError: `target` has something in it, or the disk is full or refuses; nothing
            half-written is left.
    """
    with disk_errors(doing, target.parent):
        if target.is_dir() and any(target.iterdir()):
            raise HerdError(f"{target} is not empty: name another folder, or empty this one.")
        target.parent.mkdir(parents=True, exist_ok=True)
        require_free_space(target.parent, size_bytes, doing)
        with scratch_folder(target.with_name(f".{target.name}.tmp"), doing) as folder:
            yield folder
            for path in folder.iterdir():
                _sync(path)
            _sync(folder)
            folder.rename(target)
            _sync(target.parent)


@contextmanager
def scratch_folder(folder: Path, doing: str) -> Iterator[Path]:
    """An empty folder that is gone afterwards; what a killed command left in it goes first.

    Raises:
        HerdError: the disk is full or refuses.
    """
    with disk_errors(doing, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def settle(written: Path, target: Path) -> None:
    """Rename a written file to `target` such that a power cut leaves the old or the new one."""
    _sync(written)
    written.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or the names in a folder."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def require_free_space(folder: Path, size_bytes: int, doing: str) -> None:
    """Refuse early when `size_bytes` do not fit into `folder`.

    Raises:
        HerdError: they do not fit.
    """
    free_bytes = _free_bytes(folder)
    if free_bytes < size_bytes:
        raise HerdError(
            _full(
                doing,
                folder,
                f"it needs {size_bytes / _MIB:.0f} MiB, {free_bytes / _MIB:.0f} MiB are free",
            )
        )


@contextmanager
def disk_errors(doing: str, folder: Path) -> Iterator[None]:
    """Turn what the operating system says about the disk into a message for the user.

    Raises:
        HerdError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise HerdError(_full(doing, folder, "nothing was left half-written")) from error
        raise HerdError(
            f"{doing} did not work: {error.strerror or error} "
            f"({error.filename or folder}). Check that this folder can be written, "
            f"or set {CACHE_VARIABLE} to another one."
        ) from error


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def is_disk_full(error: OSError) -> bool:
    """Whether the operating system, or numpy on its behalf, says that a disk is full."""
    # numpy's tofile gives no number, only "N requested and M written"
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "requested and" in str(error)


def _full(doing: str, folder: Path, detail: str) -> str:
    return (
        f"{doing} did not work: the disk that holds {folder} on this machine is full "
        f"({detail}). Free some space or set {CACHE_VARIABLE} to a folder on a larger disk, "
        "then repeat the command."
    )
