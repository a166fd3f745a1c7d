"""The controller's cache: where it is, and how a file gets there whole or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from core.durable import disk_errors, disk_is_full, land, sync
from core.errors import HerdError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.progress import Reporter

CACHE_VARIABLE = "LLAMA_HERD_CACHE"
_LOCK_WAIT_S = 3600
_KEPT = "No partial files were left behind."
_ELSEWHERE = f"or set {CACHE_VARIABLE} to another folder"
_MIB = 1024 * 1024


def cache_folder() -> Path:
    """Folder of downloads and built files: `$LLAMA_HERD_CACHE`, else `~/.cache/llama-herd`."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".cache" / "llama-herd"


@contextmanager
def only_one_at_a_time(
    folder: Path, doing: str, reporter: Reporter, *, elsewhere: str = _ELSEWHERE
) -> Iterator[None]:
    """Hold the lock of `folder`, so that two commands do not prepare the same model twice.

    The operating system drops the lock of a process that dies.

    Args:
        folder: holds the lock; it is made.
        doing: the beginning of a message, for example `Preparing stories15m`.
        reporter: hears that another command is waited for.
        elsewhere: how to use another disk, as for `writing`; by default another cache.

    Raises:
        HerdError: the folder cannot be made, or another command held the lock for an hour.
    """
    with disk_errors(_place(doing, folder), kept=_KEPT, elsewhere=elsewhere):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            reporter.note(f"waiting for another command that is using {folder}")
            try:
                lock.acquire(timeout=_LOCK_WAIT_S)
            except Timeout as error:
                raise HerdError(
                    f"{doing} waited an hour for another command that is using {folder}. End "
                    "that command, then repeat this one."
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
    with cache_errors(doing, target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        require_free_space(target.parent, size_bytes, doing)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            yield temporary
            land(temporary, target)
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
    with cache_errors(doing, target.parent):
        if target.is_dir() and any(target.iterdir()):
            raise HerdError(f"{target} is not empty: choose another folder or empty this one.")
        target.parent.mkdir(parents=True, exist_ok=True)
        require_free_space(target.parent, size_bytes, doing)
        with scratch_folder(target.with_name(f".{target.name}.tmp"), doing) as folder:
            yield folder
            for path in folder.iterdir():
                sync(path)
            land(folder, target)


@contextmanager
def scratch_folder(folder: Path, doing: str) -> Iterator[Path]:
    """An empty folder that is gone afterwards; what a killed command left in it goes first.

    Raises:
        HerdError: the disk is full or refuses.
    """
    with cache_errors(doing, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def require_free_space(folder: Path, size_bytes: int, doing: str) -> None:
    """Refuse early when `size_bytes` do not fit into `folder`.

    Raises:
        HerdError: they do not fit.
    """
    free_bytes = _free_bytes(folder)
    if free_bytes < size_bytes:
        sizes = f"it needs {size_bytes / _MIB:.0f} MiB, {free_bytes / _MIB:.0f} MiB are free"
        raise HerdError(disk_is_full(f"{_place(doing, folder)} ({sizes})", _KEPT, _ELSEWHERE))


def cache_errors(doing: str, folder: Path) -> AbstractContextManager[None]:
    """Turn errors of the operating system about the disk into a message for the user.

    Its context raises HerdError instead of any OSError.
    """
    return disk_errors(_place(doing, folder), kept=_KEPT, elsewhere=_ELSEWHERE)


def _place(doing: str, folder: Path) -> str:
    return f"{doing} in {folder}"


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
