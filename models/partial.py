"""A file that is still coming: its finished pieces, and what there is of the next one.

A file may be published in pieces that belong one behind the other. They are fetched into one
growing file, so that no piece takes room on the disk twice. A journal next to it records the
finished pieces; a killed command continues from there.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from core.durable import land

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK_BYTES = 1024 * 1024


class Finished(BaseModel):
    """A piece that is there as a whole."""

    size_bytes: int
    sha256: str


class _State(BaseModel):
    """What the journal says.

    Attributes:
        finished: the pieces that are there, in order.
        origin: what the piece under way is: its sha256 where that is known, else its address.
        etag: how the server names the edition under way; empty if it does not.
    """

    finished: tuple[Finished, ...] = ()
    origin: str = ""
    etag: str = ""


class PartialFile:
    """`<name>.part` and its journal; only one process at a time may work with them."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._journal = target.with_name(f"{target.name}.part.json")
        try:
            self._state = _State.model_validate_json(self._journal.read_bytes())
        except (OSError, ValidationError):
            self._state = _State()
        if self.size_bytes < self._start_bytes:  # the file is gone or was cut
            self._state = _State()

    @property
    def size_bytes(self) -> int:
        """How much there is of the whole file."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def finished(self) -> tuple[Finished, ...]:
        """The pieces that are there."""
        return self._state.finished

    @property
    def etag(self) -> str:
        """How the server named the edition of the piece under way; empty if it did not."""
        return self._state.etag

    @property
    def have_bytes(self) -> int:
        """How much there is of the piece under way."""
        return self.size_bytes - self._start_bytes

    def begin(self, origin: str) -> None:
        """Continue the piece under way if it is of `origin`, else start it over."""
        if self._state.origin != origin:
            self._save(_State(finished=self.finished, origin=origin))
            self.cut()

    def name_edition(self, etag: str) -> None:
        """Keep what the server calls the edition that it is about to send."""
        if etag != self.etag:
            self._save(self._state.model_copy(update={"etag": etag}))

    def cut(self) -> None:
        """Throw away what there is of the piece under way."""
        self.path.touch()
        os.truncate(self.path, self._start_bytes)

    def sha256(self) -> str:
        """The sha256 of what there is of the piece under way."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            file.seek(self._start_bytes)
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def finish(self, sha256: str) -> None:
        """Count the piece under way as finished."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        done = Finished(size_bytes=self.have_bytes, sha256=sha256)
        self._save(_State(finished=(*self.finished, done)))

    def land(self, target: Path) -> None:
        """Give the whole file its name."""
        land(self.path, target)
        self.remove()

    def remove(self) -> None:
        """Leave nothing."""
        self.path.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)
        self._state = _State()

    @property
    def _start_bytes(self) -> int:
        return sum(piece.size_bytes for piece in self._state.finished)

    def _save(self, state: _State) -> None:
        written = self._journal.with_name(f".{self._journal.name}.tmp")
        written.write_text(state.model_dump_json(), encoding="utf-8")
        land(written, self._journal)
        self._state = state
