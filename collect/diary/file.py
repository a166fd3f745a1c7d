"""The file of a research log: read, and changed at places, one writer at a time.

A change is made from what is in the file at that moment, and written so that a kill leaves the old
text or the new one. What an editor saved in between is never lost: the change is made again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from collect.diary.log import Log, LogPlace, log_of
from collect.diary.outline import Outline
from collect.diary.patch import Patch, new_log, numbered, patched
from collect.diary.words import LANGUAGES, Words, language_of
from core.durable import land, write_file, writing
from core.errors import HerdError
from core.foreign import one_line
from core.record import read_file, why

LOG_FILE = "log.md"
RECORDED_FILE = ".recorded"
"""Names of the runs whose line was written, one a line: also of those that a person deleted."""
LARGEST_BYTES = 1 << 24
LOCK_SECONDS = 60.0
"""So long other writers are waited for; one takes milliseconds, and seconds in a log of years."""
TRIES = 20
_BOM = b"\xef\xbb\xbf"
_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|>{7})(?= |$)", re.MULTILINE)
KEPT = "The log is as it was."

Change = Callable[[Log, Words], list[Patch]]
"""Makes the patches for a log, which is written with these words; none where nothing is to do."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """The log of a study.

    Attributes:
        folder: of the study.
        language: of a log that has none yet: `en` or `ko`.
    """

    folder: Path
    language: str = "en"

    @property
    def path(self) -> Path:
        """The file; it need not exist."""
        return self.folder / LOG_FILE

    def read(self) -> Log:
        """Read the log.

        Raises:
            HerdError: there is none, or it cannot be read: its bytes are no UTF-8, or a conflict
                of a merge is in it.
        """
        content = self._content()
        if content is None:
            raise HerdError(
                f'There is no {self.path} yet. Begin it with: fab log goal --week "…", or '
                'fab log today "…"'
            )
        return log_of(self._text_of(content), self.path.name)

    def language_of(self, log: Log) -> str:
        """Return the language of a log, `en` or `ko`, by its headings."""
        return language_of([heading.title for heading in log.outline.headings], self.language)

    def language_now(self) -> str:
        """Return the language that is written now: that of the log, or the one of a new log.

        Raises:
            HerdError: as `read`.
        """
        return self.language_of(self.read()) if self._content() is not None else self.language

    def change(self, make: Change, place: LogPlace | None = None) -> Log:
        """Change the log, and number what has no number; a log that is not there is begun.

        Args:
            make: gets the log as it is now; is called again if the file changes meanwhile.
            place: where the change adds an item; None where it adds none.

        Returns:
            The log with the change.

        Raises:
            HerdError: the file cannot be read or written, or what was added would not be found
                again; also what `make` raises. The file is as it was then.
        """
        with self._alone():
            for _ in range(TRIES):
                before = self._content()
                text = (
                    new_log(LANGUAGES[self.language]) if before is None else self._text_of(before)
                )
                log = self._changed(text, make, place)
                if log.outline.text == text and before is not None:
                    return log
                mark = _BOM if before is not None and before.startswith(_BOM) else b""
                if self._replace(before, mark + log.outline.text.encode()):
                    return log
        raise HerdError(
            f"{self.path} was saved by another program each time before it could be changed. "
            f"{KEPT} Close it there, then repeat the command."
        )

    def record(self, name: str, make: Change, place: LogPlace) -> bool:
        """Add the line of a run, once for all time: also if a person rewords or deletes it.

        Args:
            name: of the run.
            make: makes the line.
            place: the day it belongs to.

        Returns:
            Whether the line was added now.
        """
        if name in self._recorded():
            return False
        added = False

        def once(log: Log, words: Words) -> list[Patch]:
            nonlocal added
            added = not is_recorded(log, name)
            return make(log, words) if added else []

        self.change(once, place)
        with self._alone():
            names = self._recorded()
            if name not in names:
                text = "".join(f"{one}\n" for one in (*names, name))
                self._land(self.folder / RECORDED_FILE, text.encode(), None)
        return added

    def _recorded(self) -> list[str]:
        try:
            content = read_file(self.folder, RECORDED_FILE, LARGEST_BYTES)
        except OSError:
            return []
        return content.decode(errors="replace").splitlines()

    def _changed(self, text: str, make: Change, place: LogPlace | None) -> Log:
        """Return the log after a change, looked at again."""
        log = log_of(text, self.path.name)
        words = LANGUAGES[self.language_of(log)]
        if numbers := list(numbered(log)):
            log = log_of(patched(text, numbers), self.path.name)
        patches = make(log, words)
        if not patches:
            return log
        changed = log_of(patched(log.outline.text, patches), self.path.name)
        self._require_found(log, changed, place)
        return changed

    def _require_found(self, log: Log, changed: Log, place: LogPlace | None) -> None:
        """See that a change added what it was to add, where it belongs, and nothing else."""
        before, after = _items_by_place(log), _items_by_place(changed)
        wanted = Counter({(place.part, place.kind, place.day): 1} if place else {})
        known = {task.number for task in log.tasks if task.number}
        is_found = after - before == wanted and not before - after
        if is_found and known <= {task.number for task in changed.tasks}:
            return
        line = _unclosed(changed.outline) or _unclosed(log.outline)
        about = (
            f"The block that begins on line {line} (```, ~~~ or <!--) is not closed, so all below "
            "it is part of it. Close it"
            if line
            else "What is to be added would become part of the text around it. Put a blank line "
            "after it"
        )
        raise HerdError(f"{self.path}: {about}, then repeat the command. {KEPT}")

    def _content(self) -> bytes | None:
        path = self.path.resolve()
        try:
            return read_file(path.parent, path.name, LARGEST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HerdError(f"Reading {self.path}: {why(error)}.") from None

    def _text_of(self, content: bytes) -> str:
        """Decode a log, and refuse one with a conflict in it."""
        try:
            text = content.removeprefix(_BOM).decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise HerdError(
                f"{self.path}, line {line}: this is not UTF-8. Save the file as UTF-8 in your "
                "editor."
            ) from None
        if found := _CONFLICT.search(text.replace("\r\n", "\n")):
            line = text.replace("\r\n", "\n").count("\n", 0, found.start()) + 1
            raise HerdError(
                f"{self.path}, line {line}: a conflict of a merge is not resolved "
                f"(`{one_line(found[0], 60)}`). Keep what you want of both sides, delete the lines "
                "that begin with <<<<<<<, |||||||, ======= and >>>>>>>, then repeat the command."
            )
        return text

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with writing("the log", self.path, kept=KEPT):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            try:
                lock.acquire(timeout=LOCK_SECONDS)
            except Timeout:
                raise HerdError(
                    f"Another `fab` has been writing {self.path} for {LOCK_SECONDS:g} s. {KEPT} "
                    "Repeat the command when it has ended."
                ) from None
            try:
                yield
            finally:
                lock.release()

    def _replace(self, before: bytes | None, content: bytes) -> bool:
        """Replace the file unless another program changed it meanwhile; then nothing is written."""
        return self._land(self.path.resolve(), content, lambda: self._content() == before)

    def _land(self, path: Path, content: bytes, is_fit: Callable[[], bool] | None) -> bool:
        temporary = path.with_name(f".tmp-{path.name}")
        write_file(temporary, content)
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        if is_fit is not None and not is_fit():
            temporary.unlink()
            return False
        land(temporary, path)
        return True


def words_of_link(name: str) -> str:
    """Return the name of a run as the words of a link: none of it is Markdown."""
    return re.sub(r"([\[\]\\`<>*])", r"\\\1", name)


def is_recorded(log: Log, name: str) -> bool:
    """Whether an item of a day links to a run by its name."""
    outline = log.outline
    return any(
        f"[{words_of_link(name)}]("
        in outline.text[outline.starts[item.first] : outline.starts[item.after]]
        for region in log.regions
        if region.place.day
        for item in region.items
    )


def _items_by_place(log: Log) -> Counter[tuple[object, ...]]:
    """Count the items of each place, goals by their own kind."""
    places = Counter(
        (region.place.part, None, region.place.day)
        for region in log.regions
        if region.place.part not in (None, "goals")
        for _ in region.items
    )
    return places + Counter(("goals", task.place.kind, None) for task in log.goals)


def _unclosed(outline: Outline) -> int | None:
    """The line of a block of code or a comment that reaches the end of a text."""
    for block in outline.blocks[-1:]:
        reaches = all(map(outline.is_blank, range(block.after, len(outline.lines))))
        if block.kind in ("fence", "html_block") and reaches:
            return block.first + 1
    return None
