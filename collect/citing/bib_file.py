"""The file of references: only ever added to, at its end or inside one entry, as text.

What people typed stays byte for byte: comments, order, line ends, entries that cannot be read. A
change is made from what is in the file at that moment, and a kill leaves the old text or the new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from collect.citing.works import citation_key, cleaned, entry_kind, entry_text, is_same_work
from core.bibtex import LONGEST_BIBTEX, UNENDED, BibEntry, Bibliography, read_bibtex
from core.edited_file import EditedFile
from core.errors import HerdError

BIB_FILE = "references.bib"
LOCK_SECONDS = 10.0
KEPT = "The file is as it was."


@dataclass(frozen=True, slots=True)
class AddedWork:
    """What adding a work did.

    Attributes:
        key: of its entry.
        fields: those that were written; empty if all were there.
        is_new: the entry was not there before.
    """

    key: str
    fields: tuple[str, ...]
    is_new: bool


@dataclass(frozen=True, slots=True)
class BibFile:
    """The references of a study, in its folder."""

    folder: Path

    @property
    def path(self) -> Path:
        """The file; it need not exist."""
        return self.folder / BIB_FILE

    def read(self) -> Bibliography:
        """Read it; no file has no entries.

        Raises:
            HerdError: it cannot be read, or its bytes are no UTF-8.
        """
        return read_bibtex(self._file.text() or "")

    def add(self, told: str, fields: Mapping[str, str], key: str = "") -> AddedWork:
        """Add a work, or to its entry the fields that it lacks.

        Args:
            told: its kind, as its source calls it; may be empty.
            fields: name to text without LaTeX.
            key: wanted; empty: one is made.

        Raises:
            HerdError: the file cannot be changed, or the key is another work's.
        """
        wanted = cleaned(fields)
        done: list[AddedWork] = []

        def change(text: str) -> str:
            known = read_bibtex(text)
            end = "\r\n" if "\r\n" in text else "\n"
            same = next((one for one in known.entries if is_same_work(one, wanted)), None)
            if same is not None:
                missing = {n: value for n, value in wanted.items() if not same.fields.get(n)}
                done[:] = [AddedWork(same.key, tuple(missing), is_new=False)]
                return _filled(text, same, missing, end)
            taken = known.by_key.keys() | {fault.key for fault in known.faults}
            if key and key in taken:
                raise HerdError(
                    f"{self.path}: the key {key} is that of another work. Give another by --key."
                )
            chosen = key or citation_key(fields, taken)
            done[:] = [AddedWork(chosen, tuple(wanted), is_new=True)]
            return _appended(text, entry_text(entry_kind(told, wanted), chosen, wanted, end), end)

        self._change(change, lambda: done[0])
        return done[0]

    @property
    def _file(self) -> EditedFile:
        return EditedFile(
            self.path, "the references", KEPT, LONGEST_BIBTEX, ".references.lock", LOCK_SECONDS
        )

    def _change(self, change: Callable[[str], str], done: Callable[[], AddedWork]) -> None:
        def edit(text: str | None) -> str:
            after = change(text or "")
            if after != (text or ""):
                self._require_found(text or "", after, done())
            return after

        self._file.change(edit)

    def _require_found(self, before: str, after: str, added: AddedWork) -> None:
        """Check that the change is read as what it is, and all else as before."""
        old, new = read_bibtex(before), read_bibtex(after)
        others = [(e.key, e.fields) for e in old.entries if e.key != added.key]
        found = new.by_key.get(added.key)
        kept = [(e.key, e.fields) for e in new.entries if e.key != added.key]
        open_ones = [fault for fault in new.faults if fault.what.startswith(UNENDED)]
        is_read = found is not None and all(found.fields.get(name) for name in added.fields)
        if is_read and kept == others and not open_ones:
            return
        line = open_ones[0].line if open_ones else 1
        raise HerdError(
            f"{self.path}, line {line}: an entry there does not end, so what is added would become "
            f"part of it. Close its brace, then repeat the command. {KEPT}"
        )


def _appended(text: str, entry: str, end: str) -> str:
    """The text with an entry at its end, after a blank line."""
    if not text:
        return entry
    between = "" if text.endswith(end * 2) else end if text.endswith("\n") else end * 2
    return text + between + entry


def _filled(text: str, entry: BibEntry, fields: Mapping[str, str], end: str) -> str:
    """The text with fields before the brace that closes an entry."""
    at = _place(text, entry)
    if not fields or at < 0:
        return text
    brace = at + len(entry.source) - 1
    inside = text[at:brace].rstrip()
    comma = "" if inside.endswith(",") else ","
    lines = end.join(f"  {name} = {{{value}}}," for name, value in fields.items())
    return f"{text[:at]}{inside}{comma}{end}{lines}{end}{text[brace:]}"


def _place(text: str, entry: BibEntry) -> int:
    """Where the entry's text begins; -1 if it is not there as it was read."""
    lines = text.splitlines(keepends=True)
    before = sum(map(len, lines[: entry.line - 1]))
    return text.find(entry.source, before) if entry.source.endswith(("}", ")")) else -1
