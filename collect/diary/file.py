"""The file of a research log: read, and changed at places."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collect.diary.log import Log, LogPlace, log_of
from collect.diary.outline import Outline
from collect.diary.patch import Patch, new_log, numbered, patched
from collect.diary.words import LANGUAGES, Words, language_of
from core.durable import replace_file
from core.edited_file import EditedFile
from core.errors import HerdError
from core.foreign import one_line
from core.record import read_file

LOG_FILE = "log.md"
RECORDED_FILE = ".recorded"
"""Names of the runs whose line was written, one a line: also of those that a person deleted."""
LARGEST_BYTES = 1 << 24
LOCK_SECONDS = 60.0
"""So long other writers are waited for; one takes milliseconds, and seconds in a log of years."""
_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|>{7})(?: [^\r\n]{0,60}|$)", re.MULTILINE)
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
        text = self._file.text()
        if text is None:
            raise HerdError(
                f'There is no {self.path} yet. Begin it with: fab log goal --week "…", or '
                'fab log today "…"'
            )
        return log_of(self._unmixed(text), self.path.name)

    def language_of(self, log: Log) -> str:
        """Return the language of a log, `en` or `ko`, by its headings."""
        return language_of([heading.title for heading in log.outline.headings], self.language)

    def language_now(self) -> str:
        """Return the language that is written now: that of the log, or the one of a new log.

        Raises:
            HerdError: as `read`.
        """
        return self.language_of(self.read()) if self._file.text() is not None else self.language

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
        done: list[Log] = []

        def edit(text: str | None) -> str:
            now = new_log(LANGUAGES[self.language]) if text is None else self._unmixed(text)
            done[:] = [self._changed(now, make, place)]
            return done[0].outline.text

        self._file.change(edit)
        return done[0]

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
        with self._file.alone():
            names = self._recorded()
            if name not in names:
                replace_file(
                    self.folder / RECORDED_FILE,
                    "".join(f"{one}\n" for one in (*names, name)).encode(),
                )
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

    @property
    def _file(self) -> EditedFile:
        return EditedFile(self.path, "the log", KEPT, LARGEST_BYTES, ".lock", LOCK_SECONDS)

    def _unmixed(self, text: str) -> str:
        """Refuse a log with a conflict in it."""
        if found := _CONFLICT.search(text.replace("\r\n", "\n")):
            line = text.replace("\r\n", "\n").count("\n", 0, found.start()) + 1
            raise HerdError(
                f"{self.path}, line {line}: a conflict of a merge is not resolved "
                f"(`{one_line(found[0], 60)}`). Keep what you want of both sides, delete the lines "
                "that begin with <<<<<<<, |||||||, ======= and >>>>>>>, then repeat the command."
            )
        return text


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
