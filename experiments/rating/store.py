"""A rater's judgements on disk: each is durable before the rater is told that it is stored."""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collect.errors import HerdError
from collect.ratings import (
    JUDGEMENTS_SUFFIX,
    RATINGS_FOLDER,
    Judgement,
    latest,
    read_judgements,
)
from experiments.durable import sync_folder, writing

SHARED_PREFIX = "sheet-"
"""How names of sheets begin that are for anybody; no rater may be called so."""
_NAME = re.compile(r"\w[\w.-]{0,39}")


def rater_name(given: str | None) -> str:
    """The name of a rater as files hold it; the user's own where none is given.

    Raises:
        HerdError: it cannot be a file's name.
    """
    name = unicodedata.normalize("NFC", getpass.getuser() if given is None else given.strip())
    if not _NAME.fullmatch(name) or name.startswith(SHARED_PREFIX):
        raise HerdError(
            f"{name!r} cannot be a rater's name: write up to 40 letters, digits, dots and dashes, "
            f"a letter or digit first, such as kim or 김철수, and not `{SHARED_PREFIX}…`."
        )
    return name


class Store:
    """The judgements of one rater, which one process at a time may add to."""

    def __init__(self, path: Path, descriptor: int, kept: dict[tuple[str, str], Judgement]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._kept = kept

    def get(self, question: str, answer: str) -> Judgement | None:
        """What counts of an answer; None if it was not judged."""
        return self._kept.get((question, answer))

    def add(self, judgement: Judgement) -> bool:
        """Store a judgement durably; one that changes nothing is not stored again.

        Returns:
            Whether anything was written.

        Raises:
            HerdError: it could not be stored; the file is then as it was.
        """
        place = (judgement.question, judgement.answer)
        before = self._kept.get(place)
        if before is not None and before.model_copy(update={"at": judgement.at}) == judgement:
            return False
        with writing("a judgement", self._path):
            end = os.lseek(self._descriptor, 0, os.SEEK_END)
            try:
                _write(self._descriptor, f"{judgement.model_dump_json()}\n".encode())
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, end)
                raise
        self._kept[place] = judgement
        return True


@contextmanager
def judgements_of(run_folder: Path, rater: str) -> Iterator[Store]:
    """The judgements of a rater, to go on with; what a crash tore off is cut away.

    Args:
        run_folder: `results/<run>`.
        rater: as `rater_name` returns it.

    Raises:
        HerdError: another process has them, or they cannot be read or written.
    """
    path = run_folder / RATINGS_FOLDER / f"{rater}{JUDGEMENTS_SUFFIX}"
    with writing(f"the ratings of {rater}", path):
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HerdError(
                f"Another `fab rate` of {rater} is running. End it with Ctrl-C, or give another "
                "name with --rater."
            ) from None
        kept = latest(read_judgements(path))
        with writing(f"the ratings of {rater}", path):
            sync_folder(path.parent)
            whole = path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(descriptor, whole)
        yield Store(path, descriptor, kept)
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
