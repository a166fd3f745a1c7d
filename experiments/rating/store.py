"""A rater's judgements on disk: each is durable before the rater sees that it is stored."""

from __future__ import annotations

import getpass
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collect.ratings import (
    JUDGEMENTS_SUFFIX,
    RATINGS_FOLDER,
    Judgement,
    latest,
    read_judgements,
)
from core.errors import HerdError
from core.foreign import inside
from core.record import own_folder
from experiments.rating.lines import Lines, adding_lines

SHARED_PREFIX = "sheet-"
"""How names of sheets for anyone begin; no rater may be called so."""
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

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._kept = latest(read_judgements(lines.path))

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
        self._lines.add(judgement)
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
    own_folder(run_folder, RATINGS_FOLDER)
    path = inside(run_folder, f"{RATINGS_FOLDER}/{rater}{JUDGEMENTS_SUFFIX}")
    with adding_lines(path, rater) as lines:
        yield Store(lines)
