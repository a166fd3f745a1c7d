"""A text file that people edit, too: changed as text, one writer at a time.

A change is made from what is in the file at that moment, and written so that a kill leaves the old
text or the new one. What an editor saved in between is never lost: the change is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from core.durable import land, write_file, writing
from core.errors import HerdError
from core.record import read_file, why

TRIES = 20
_MAY_WRITE = 0o222
"""Of a mode: without any of these a person protects the file, which a rename would not heed."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class EditedFile:
    """The file; it need not exist.

    Attributes:
        path: where it is; a link is followed.
        called: what errors call it, such as `the log`.
        kept: the sentence that says that it was not changed.
        most_bytes: it is not read beyond this size.
        lock: name of the file next to it by which writers wait for each other.
        lock_s: seconds for which another writer is waited for.
    """

    path: Path
    called: str
    kept: str
    most_bytes: int
    lock: str
    lock_s: float

    def text(self) -> str | None:
        """Read it without a byte-order mark; None where there is no file.

        Raises:
            HerdError: it cannot be read, or its bytes are no UTF-8.
        """
        return self._decoded(self._content())

    def change(self, edit: Callable[[str | None], str]) -> None:
        """Change its text; a file that is not there is made.

        Args:
            edit: gets the text as it is now, None without a file, and returns the new one; is
                called again if the file changes meanwhile.

        Raises:
            HerdError: it cannot be read or written; also what `edit` raises. It is as it was then.
        """
        with self.alone():
            for _ in range(TRIES):
                before = self._content()
                text = self._decoded(before)
                after = edit(text)
                if after == text:
                    return
                mark = _BOM if before is not None and before.startswith(_BOM) else b""
                if self._replace(before, mark + after.encode()):
                    return
        raise HerdError(
            f"{self.path} was saved by another program each time before it could be changed. "
            f"{self.kept} Close it there, then repeat the command."
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other writers away.

        Raises:
            HerdError: one does not end, or the folder cannot be written.
        """
        with writing(self.called, self.path, kept=self.kept):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.parent / self.lock)
            try:
                lock.acquire(timeout=self.lock_s)
            except Timeout:
                raise HerdError(
                    f"Another `fab` has been writing {self.path} for {self.lock_s:g} s. "
                    f"{self.kept} Repeat the command when it has ended."
                ) from None
            try:
                yield
            finally:
                lock.release()

    def _content(self) -> bytes | None:
        path = self.path.resolve()
        try:
            return read_file(path.parent, path.name, self.most_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HerdError(f"Reading {self.path}: {why(error)}.") from None

    def _decoded(self, content: bytes | None) -> str | None:
        if content is None:
            return None
        try:
            return content.removeprefix(_BOM).decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise HerdError(
                f"{self.path}, line {line}: this is not UTF-8. Save the file as UTF-8 in your "
                "editor."
            ) from None

    def _replace(self, before: bytes | None, content: bytes) -> bool:
        """Replace it unless another program changed it meanwhile; then nothing is written."""
        path = self.path.resolve()
        if path.exists() and not path.stat().st_mode & _MAY_WRITE:
            raise HerdError(
                f"{self.path} is read-only. {self.kept} To let `fab` write it: "
                f"chmod u+w {self.path}"
            )
        temporary = path.with_name(f".tmp-{path.name}")
        write_file(temporary, content)
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        if self._content() != before:
            temporary.unlink()
            return False
        land(temporary, path)
        return True
