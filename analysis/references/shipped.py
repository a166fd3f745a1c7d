"""The references that come with the toolkit (`references.bib`), and how one is written out."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from analysis.text.wording import DASH, listing
from core.bibtex import BibEntry, Bibliography, read_bibtex

SHIPPED = Path(__file__).with_name("references.bib")
MOST_AUTHORS = 4
"""Of more, the first is named."""
CONTAINERS = ("journal", "booktitle", "publisher", "howpublished")


@functools.cache
def shipped() -> Bibliography:
    """All of them."""
    return read_bibtex(SHIPPED.read_text(encoding="utf-8"))


def reference(key: str) -> BibEntry:
    """One of them. Raises KeyError for a key that none has."""
    return shipped().by_key[key]


def bibtex(entries: Iterable[BibEntry]) -> str:
    """Entries as a file of BibTeX, each once, in their order."""
    sources = dict.fromkeys(entry.source.strip() for entry in entries)
    return "".join(f"{source}\n\n" for source in sources)


def written_out(entry: BibEntry) -> str:
    """Write a reference as one line without its address."""
    parts = [_authors(entry), entry.plain.get("title", ""), *_place(entry)]
    ended = (part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)
    return " ".join(ended)


def address(entry: BibEntry) -> str:
    """Where a reference is on the web; empty if it says nothing of that."""
    if doi := entry.fields.get("doi"):
        return f"https://doi.org/{doi}"
    if (paper := entry.fields.get("eprint")) and _is_arxiv(entry):
        return f"https://arxiv.org/abs/{paper}"
    return entry.plain.get("url", "")


def _is_arxiv(entry: BibEntry) -> bool:
    return entry.fields.get("archiveprefix", "").lower() == "arxiv"


def _authors(entry: BibEntry) -> str:
    names = [name for name in entry.authors if name != "others"]
    if not names:
        return ""
    if len(names) > MOST_AUTHORS or len(names) < len(entry.authors):
        return f"{names[0]} et al."
    return listing(names)


def _place(entry: BibEntry) -> Iterator[str]:
    """Where it appeared, with volume, pages and year."""
    told = [entry.plain[name] for name in CONTAINERS if entry.plain.get(name)]
    volume, number = entry.plain.get("volume", ""), entry.plain.get("number", "")
    told += [f"{volume}({number})" if number else volume] if volume else []
    told += [entry.plain["pages"].replace("--", DASH)] if entry.plain.get("pages") else []
    told += [f"arXiv:{entry.fields['eprint']}"] if _is_arxiv(entry) else []
    told += [entry.plain["year"]] if entry.plain.get("year") else []
    yield ", ".join(told)
