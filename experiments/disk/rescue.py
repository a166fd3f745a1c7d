"""A place for an attempt that was paid for and cannot be recorded where it belongs.

It is put, whole, into the folder for temporary files. The next command that continues its run reads
it from there, so no API is asked, and paid, again.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import HerdError

PREFIX = "llama-herd-rescued-"
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@contextmanager
def rescued(run: str, attempt_id: str, write: Callable[[Path], object] | None) -> Iterator[None]:
    """Should what happens in the context fail, write the attempt elsewhere and say where.

    Args:
        run: name of its run.
        attempt_id: its name.
        write: makes the attempt's folder; None for one that costs nothing.

    Raises:
        HerdError: what was raised, with the folder in which the attempt is.
    """
    try:
        yield
    except (HerdError, KeyboardInterrupt) as error:
        folder = write and _put(run, attempt_id, write)
        if folder is None or not isinstance(error, HerdError):
            raise
        raise HerdError(
            f"{error} The answers that were paid for are in {folder}. The next command reads "
            "them from there and asks no API again."
        ) from None


def _put(run: str, attempt_id: str, write: Callable[[Path], object]) -> Path | None:
    """The folder into which the attempt went; None if it cannot be written there either."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{run}-")) / attempt_id
        write(folder)
    except (HerdError, OSError):
        return None
    return folder


def rescued_attempts(run: str) -> list[Path]:
    """Folders of this user's attempts of a run that wait to be recorded.

    Others may write to the folder for temporary files, too: theirs are left alone.
    """
    places = [
        place
        for place in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
        if place.name.startswith(f"{PREFIX}{run}-") and _is_ours(place)
    ]
    return [attempt for place in places for attempt in sorted(place.iterdir())]


def _is_ours(place: Path) -> bool:
    found = place.lstat()
    is_private = found.st_uid == os.geteuid() and not found.st_mode & _OF_OTHERS
    return stat.S_ISDIR(found.st_mode) and is_private
