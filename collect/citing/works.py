"""What a user names a work by, and the entry that is made of what is known about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Literal

from core.bibtex import BibEntry
from core.errors import HerdError
from core.foreign import one_line, visible

Kind = Literal["doi", "arxiv", "url"]
_DOI = re.compile(r"(?i)(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/[^\s\"<>{}\\]{1,400})")
_ARXIV = re.compile(
    r"(?i)(?:arxiv:|https?://(?:www\.|export\.)?arxiv\.org/(?:abs|pdf)/)?"
    r"(\d{4}\.\d{4,5}|[a-z-]{2,20}(?:\.[A-Z]{2})?/\d{7})(?:v\d{1,3})?(?:\.pdf)?"
)
_URL = re.compile(r"https?://[^\s\"<>{}\\]{3,2000}")
FIELDS = (
    "author", "title", "journal", "booktitle", "publisher", "editor", "edition", "series",
    "volume", "number", "pages", "year", "month", "howpublished", "doi", "eprint",
    "archiveprefix", "primaryclass", "isbn", "url", "urldate", "note",
)  # fmt: skip
"""Fields that are kept of an entry that was fetched, in the order in which they are written."""
KINDS = frozenset(
    [
        "article",
        "book",
        "inbook",
        "incollection",
        "inproceedings",
        "manual",
        "mastersthesis",
        "misc",
        "phdthesis",
        "proceedings",
        "techreport",
        "unpublished",
    ]
)
SAME_KINDS = {
    "online": "misc",
    "report": "techreport",
    "thesis": "phdthesis",
    "conference": "inproceedings",
}
LONGEST_FIELD = 4000
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}",
    "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}  # fmt: skip
"""Braces by their names: for BibTeX, `\\{` opens what must be closed."""
AS_THEY_ARE = frozenset({"doi", "eprint", "url", "isbn"})
"""Fields that LaTeX's styles read as addresses, where an escape would be part of the address."""
PEOPLE = ("author", "editor")
_INSTITUTION = re.compile(r"(?:^|(?<= and ))(\{[^{}]{1,400}\})(?= and |$)")
"""A name that is in braces as a whole: an institution, in which nothing is a given name."""
_STOP_WORDS = frozenset(
    ["a", "an", "the", "on", "of", "for", "in", "and", "to", "with", "towards", "toward"]
)


@dataclass(frozen=True, slots=True)
class Work:
    """What a work is named by."""

    kind: Kind
    name: str

    @property
    def fields(self) -> dict[str, str]:
        """The fields that follow from that alone."""
        if self.kind == "arxiv":
            return {"eprint": self.name, "archiveprefix": "arXiv"}
        return {self.kind: self.name}


def work_of(text: str) -> Work:
    """Understand what a user typed.

    Raises:
        HerdError: it is neither a DOI, nor an arXiv number, nor an address.
    """
    shown = text.strip()
    if found := _DOI.fullmatch(shown):
        return Work("doi", found[1].rstrip(".,;"))
    if found := _ARXIV.fullmatch(shown):
        return Work("arxiv", found[1])
    if _URL.fullmatch(shown):
        return Work("url", shown)
    raise HerdError(
        f"fab cite add {one_line(text, 100)}: give a DOI (10.1145/1465482.1465560), an arXiv "
        "number (2209.01188) or an address (https://…)."
    )


def cleaned(fields: Mapping[str, str]) -> dict[str, str]:
    """Fields of anyone as plain text in LaTeX: nothing in them is a command.

    Args:
        fields: name to text, without LaTeX.

    Returns:
        Those of `FIELDS` that say anything, escaped, each on one line.
    """
    found = {}
    for name in FIELDS:
        text = one_line(visible(fields.get(name, "")), LONGEST_FIELD)
        if text:
            found[name] = _cleaned(name, text)
    return found


def _cleaned(name: str, text: str) -> str:
    if name in AS_THEY_ARE:
        return _address(text)
    if name not in PEOPLE:
        return escaped_latex(text)
    parts = _INSTITUTION.split(text)
    return "".join(
        f"{{{escaped_latex(part[1:-1])}}}" if place % 2 else escaped_latex(part)
        for place, part in enumerate(parts)
    )


def escaped_latex(text: str) -> str:
    """Text as LaTeX that prints it."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _address(text: str) -> str:
    """An address without what would end a field or begin a command."""
    return re.sub(r"[\\{}\s\"<>^`|]", "", text)


def require_key(key: str) -> str:
    """The key, if an entry may have it; empty for none. Raises HerdError for another."""
    if key and not re.fullmatch(r"[^\W_][\w:.+/-]{0,99}", key):
        raise HerdError(f"--key {one_line(key, 60)}: write letters, digits and : . + / - _ only.")
    return key


def citation_key(fields: Mapping[str, str], taken: Container[str]) -> str:
    """Make a key as `amdahl1967validity`, which no other entry has.

    Args:
        fields: without LaTeX.
        taken: keys that are in use.
    """
    author = fields.get("author", "").split(" and ")[0]
    family = author.partition(",")[0] if "," in author else author.rpartition(" ")[2]
    words = [_plain(word) for word in fields.get("title", "").split()]
    word = next((one for one in words if one and one not in _STOP_WORDS), "")
    year = re.sub(r"\D", "", fields.get("year", ""))[:4]
    made = f"{_plain(family)}{year}{word}"[:60] or "entry"
    if made not in taken:
        return made
    return next(key for n in range(2, 10_000) if (key := f"{made}-{n}") not in taken)


def _plain(word: str) -> str:
    folded = unicodedata.normalize("NFKD", word).casefold()
    kept = "".join(letter for letter in folded if letter.isascii() and letter.isalnum())
    # A Korean name has no ASCII letters; its own are letters of a key, too.
    return kept or "".join(letter for letter in word if letter.isalnum())


def entry_text(kind: str, key: str, fields: Mapping[str, str], end: str = "\n") -> str:
    """Write an entry.

    Args:
        kind: `article`, `misc` …
        key: of it.
        fields: as `cleaned` gives them.
        end: of a line in the file.
    """
    lines = [f"@{kind}{{{key},", *(f"  {name} = {{{text}}}," for name, text in fields.items()), "}"]
    return end.join(lines) + end


def entry_kind(told: str, fields: Mapping[str, str]) -> str:
    """The kind of an entry: what its source says, or what its fields fit."""
    named = SAME_KINDS.get(told.lower(), told.lower())
    if named in KINDS:
        return named
    for field, kind in (
        ("journal", "article"),
        ("booktitle", "inproceedings"),
        ("publisher", "book"),
    ):
        if fields.get(field):
            return kind
    return "misc"


def is_same_work(entry: BibEntry, fields: Mapping[str, str]) -> bool:
    """Whether an entry is of the work that these fields name.

    It has the same DOI, number or address, or it says all of what is typed: a command was repeated.
    """
    for name in ("doi", "eprint", "url"):
        ours, theirs = entry.fields.get(name, ""), fields.get(name, "")
        if ours and theirs and _folded(ours) == _folded(theirs):
            return True
    return all(entry.fields.get(name) == text for name, text in fields.items())


def _folded(name: str) -> str:
    found = _DOI.fullmatch(name.strip()) or _ARXIV.fullmatch(name.strip())
    return (found[1] if found else name.strip().rstrip("/")).casefold()
