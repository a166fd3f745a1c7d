"""What `fab cite list` and `fab cite check` print with `--json`."""

from __future__ import annotations

from collect.citing.checking import ProblemKind
from core.bibtex import BibEntry
from core.json_answer import JsonAnswer, JsonPart


class CiteProblem(JsonPart):
    """Something to fix.

    Attributes:
        kind: `broken` (not BibTeX), `missing` or `empty` (a field), `unread` (a field that no style
            knows), `undefined` (a text cites it, no entry has it), `unused` (no text cites it),
            `dead` (with `--online`: its address answers that there is nothing).
        where: file and line.
        key: of the entry; empty where there is none.
        text: what is wrong and what would be right.
    """

    kind: ProblemKind
    where: str
    key: str
    text: str


class CiteEntry(JsonPart):
    """An entry.

    Attributes:
        kind: `article`, `misc` …
        fields: name to text without LaTeX.
        line: where it begins, from 1.
    """

    key: str
    kind: str
    fields: dict[str, str]
    line: int


class CiteAnswer(JsonAnswer):
    """The references of a study, and what is wrong with them; `fab cite list` looks for nothing."""

    file: str
    entries: tuple[CiteEntry, ...]
    problems: tuple[CiteProblem, ...]


def entry_of(entry: BibEntry) -> CiteEntry:
    """An entry as it is printed."""
    return CiteEntry(key=entry.key, kind=entry.kind, fields=dict(entry.plain), line=entry.line)
