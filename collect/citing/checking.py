"""What is wrong with the references of a study, and which of them its texts cite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collect.citing.works import FIELDS
from core.bibtex import BibEntry, Bibliography
from core.foreign import one_line

ProblemKind = Literal["broken", "missing", "empty", "unread", "undefined", "unused", "dead"]
NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "article": (("author",), ("title",), ("journal",), ("year",)),
    "book": (("author", "editor"), ("title",), ("publisher",), ("year",)),
    "inbook": (("author", "editor"), ("title",), ("publisher",), ("year",)),
    "incollection": (("author",), ("title",), ("booktitle",), ("year",)),
    "inproceedings": (("author",), ("title",), ("booktitle",), ("year",)),
    "mastersthesis": (("author",), ("title",), ("school",), ("year",)),
    "phdthesis": (("author",), ("title",), ("school",), ("year",)),
    "techreport": (("author",), ("title",), ("institution",), ("year",)),
    "manual": (("title",),),
    "misc": (("title",), ("author", "howpublished", "url", "doi", "eprint")),
}
"""Kind of an entry to the fields that styles of BibTeX want; of several in a row one is enough."""
READ = frozenset(FIELDS) | frozenset(
    [
        "abstract",
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
TEXTS = (".md", ".tex")
LARGEST_TEXT = 1 << 24
MOST_TEXTS = 10_000
_CITED_TEX = re.compile(
    r"\\(?:[A-Za-z]{0,20}cite[A-Za-z]{0,20}|nocite)\*?(?:\[[^\]]{0,300}\]){0,2}\{([^}]{1,4000})\}"
)
_CITED_MD = re.compile(r"\[([^\[\]\n]{0,1000}@[^\[\]\n]{1,1000})\]")
_KEY_MD = re.compile(r"(?<![\w.+-])-?@\{?([^\W_][\w:.#$%&+?<>~/-]{0,200})")
_FENCED = re.compile(r"^(```|~~~)", re.MULTILINE)


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
    for entry in found.entries:
        yield from _of_entry(path, entry)
    known = {*found.by_key, *(fault.key for fault in found.faults), *shipped}
    for key, where in cited.items():
        if key not in known:
            yield BibProblem(
                "undefined", where, key, f"{one_line(key, 80)} is cited, but no entry has this key."
            )
    for entry in found.entries:
        if entry.key not in cited:
            where = f"{path.name}, line {entry.line}"
            yield BibProblem("unused", where, entry.key, "No text of the study cites it.")


def _of_entry(path: Path, entry: BibEntry) -> Iterator[BibProblem]:
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
        if not any(entry.plain.get(name, "").strip() for name in names):
            told = " or ".join(names)
            yield BibProblem(
                "missing", where, entry.key, f"An entry of kind {entry.kind} needs {told}."
            )


def cited_in(folder: Path) -> dict[str, str]:
    """Every key that a text of the study cites, with the place where it is cited first.

    Markdown cites as `[@key]`, as pandoc reads it; LaTeX by commands that end in `cite`. No link
    is followed out of the folder, and what is code is not read.
    """
    found: dict[str, str] = {}
    for path in _texts(folder):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        shown = path.relative_to(folder).as_posix()
        for key, line in _keys(text, is_tex=path.suffix == ".tex"):
            found.setdefault(key, f"{shown}, line {line}")
    return found


def _texts(folder: Path) -> Iterator[Path]:
    count = 0
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        is_text = path.suffix in TEXTS and path.is_file() and not path.is_symlink()
        if is_text and path.stat().st_size <= LARGEST_TEXT and count < MOST_TEXTS:
            count += 1
            yield path


def _keys(text: str, *, is_tex: bool) -> Iterator[tuple[str, int]]:
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if is_tex:
            plain = re.split(r"(?<!\\)%", line, maxsplit=1)[0]
            for match in _CITED_TEX.finditer(plain):
                yield from (
                    (key.strip(), number)
                    for key in match[1].split(",")
                    if key.strip() not in {"", "*"}
                )
            continue
        if _FENCED.match(line.lstrip()):
            fenced = not fenced
        if fenced:
            continue
        for match in _CITED_MD.finditer(re.sub(r"`[^`]{0,500}`", "", line)):
            for key in _KEY_MD.finditer(match[1]):
                yield key[1].rstrip(".,:;?!"), number
