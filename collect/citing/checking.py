"""What is wrong with the references of a study, and which of them its texts cite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collect.citing.works import FIELDS
from core.bibtex import BibEntry, Bibliography
from core.foreign import one_line

ProblemKind = Literal["broken", "missing", "empty", "unread", "undefined", "unused", "dead"]
_PERSON, _TITLE, _DAY = ("author",), ("title",), ("year", "date")
_MAKER, _PLACE = ("author", "editor"), ("institution", "school", "organization", "publisher")
NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "article": (_PERSON, _TITLE, ("journal", "journaltitle"), _DAY),
    "book": (_MAKER, _TITLE, ("publisher",), _DAY),
    "collection": (("editor",), _TITLE, _DAY),
    "inbook": (_MAKER, _TITLE, ("publisher", "booktitle"), _DAY),
    "incollection": (_PERSON, _TITLE, ("booktitle",), _DAY),
    "inproceedings": (_PERSON, _TITLE, ("booktitle", "eventtitle"), _DAY),
    "mastersthesis": (_PERSON, _TITLE, ("school", "institution"), _DAY),
    "phdthesis": (_PERSON, _TITLE, ("school", "institution"), _DAY),
    "thesis": (_PERSON, _TITLE, ("school", "institution"), _DAY),
    "techreport": (_PERSON, _TITLE, _PLACE, _DAY),
    "report": (_PERSON, _TITLE, _PLACE, _DAY),
    "manual": (_TITLE,),
    "online": (_TITLE, ("url", "doi", "eprint")),
    "misc": (_TITLE, ("author", "editor", "howpublished", "url", "doi", "eprint")),
}
"""Kind of an entry to the fields that styles of BibTeX or BibLaTeX want; of a row one is enough."""
OF_ANOTHER = ("crossref", "xdata")
"""Fields that name an entry from which further ones are taken."""
READ = frozenset(FIELDS) | frozenset(
    [
        "abstract",
        "addendum",
        "afterword",
        "annotation",
        "annotator",
        "booksubtitle",
        "booktitleaddon",
        "commentator",
        "editora",
        "editortype",
        "eid",
        "entrysubtype",
        "eventdate",
        "eventtitle",
        "foreword",
        "gender",
        "holder",
        "hyphenation",
        "ids",
        "indextitle",
        "introduction",
        "isan",
        "ismn",
        "isrn",
        "issuetitle",
        "iswc",
        "journalsubtitle",
        "label",
        "library",
        "mainsubtitle",
        "maintitle",
        "nameaddon",
        "options",
        "origdate",
        "origlanguage",
        "origpublisher",
        "origtitle",
        "pagetotal",
        "pagination",
        "part",
        "pubstate",
        "related",
        "relatedtype",
        "reprinttitle",
        "shortauthor",
        "shorteditor",
        "shorthand",
        "shortjournal",
        "sortkey",
        "sortname",
        "sorttitle",
        "titleaddon",
        "translator",
        "usera",
        "venue",
        "volumes",
        "xdata",
        "xref",
        "address",
        "annote",
        "archiveprefix",
        "chapter",
        "crossref",
        "date",
        "day",
        "file",
        "institution",
        "issn",
        "issue",
        "journaltitle",
        "key",
        "keywords",
        "language",
        "location",
        "mendeley-tags",
        "organization",
        "publisher",
        "school",
        "shorttitle",
        "subtitle",
        "type",
        "version",
        "eprinttype",
        "eprintclass",
        "collaboration",
        "copyright",
        "langid",
    ]
)
"""Fields that some style or program reads; others are mostly slips."""


@dataclass(frozen=True, slots=True)
class BibProblem:
    """Something to fix.

    Attributes:
        kind: of problem.
        where: file and line.
        key: of the entry; empty where there is none.
        text: what is wrong and what would be right, a sentence.
    """

    kind: ProblemKind
    where: str
    key: str
    text: str


def problems_of(
    path: Path, found: Bibliography, cited: Mapping[str, str], shipped: Iterable[str] = ()
) -> Iterator[BibProblem]:
    """Find what is wrong.

    Args:
        path: of the references.
        found: in them.
        cited: key to where it is cited first.
        shipped: keys that the toolkit defines, which texts may cite, too.
    """
    for fault in found.faults:
        text = f"{fault.what[:1].upper()}{fault.what[1:]}. Fix it in your editor."
        yield BibProblem("broken", f"{path.name}, line {fault.line}", fault.key, text)
    by_key = found.by_key
    for entry in found.entries:
        yield from _of_entry(path, entry, _inherited(entry, by_key))
    aliases = {key: entry for entry in found.entries for key in _listed(entry, "ids")}
    known = {*by_key, *aliases, *(fault.key for fault in found.faults), *shipped}
    for key, where in cited.items():
        if key not in known:
            yield BibProblem(
                "undefined", where, key, f"{one_line(key, 80)} is cited, but no entry has this key."
            )
    used = _used(cited, {**aliases, **by_key})
    for entry in found.entries:
        if entry.key not in used:
            where = f"{path.name}, line {entry.line}"
            yield BibProblem("unused", where, entry.key, "No text of the study cites it.")


def _listed(entry: BibEntry, field: str) -> list[str]:
    """The keys in a field that lists them."""
    return [key.strip() for key in entry.fields.get(field, "").split(",") if key.strip()]


def _inherited(entry: BibEntry, by_key: Mapping[str, BibEntry]) -> frozenset[str]:
    """Fields that an entry has from others, as `crossref` and `xdata` give them."""
    found: set[str] = set()
    for name in OF_ANOTHER:
        for key in _listed(entry, name):
            other = by_key.get(key)
            found |= {field for field, value in (other.plain if other else {}).items() if value}
    return frozenset(found | {"booktitle"} if "title" in found else found)


def _used(cited: Iterable[str], entries: Mapping[str, BibEntry]) -> set[str]:
    """Keys of entries that are cited, by any of their keys, or from which a cited one takes."""
    own = [entries[key] for key in cited if key in entries]
    taken = (key for one in own for name in (*OF_ANOTHER, "xref") for key in _listed(one, name))
    return {*(one.key for one in own), *taken}


def _of_entry(path: Path, entry: BibEntry, inherited: frozenset[str]) -> Iterator[BibProblem]:
    where = f"{path.name}, line {entry.line}"
    for name in entry.fields:
        if not entry.plain[name].strip():
            yield BibProblem(
                "empty", where, entry.key, f"Its field {name} is empty: fill it in or delete it."
            )
        elif name not in READ:
            yield BibProblem(
                "unread",
                where,
                entry.key,
                f"No style reads its field {one_line(name, 40)}: correct its name.",
            )
    for names in NEEDED.get(entry.kind, (("title",),)):
        if not any(entry.plain.get(name, "").strip() or name in inherited for name in names):
            told = " or ".join(names)
            yield BibProblem(
                "missing", where, entry.key, f"An entry of kind {entry.kind} needs {told}."
            )
