"""BibTeX: the entries of a text, each with the line where it begins, and what is wrong in it.

A text may have been typed by hand or fetched. Reading never changes it, and what cannot be read is
named by its line. bibtexparser reads; what it makes of LaTeX is text for people.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bibtexparser import entrypoint, model
from bibtexparser.exceptions import ParsingException
from bibtexparser.library import Library
from bibtexparser.middlewares import (
    LatexDecodingMiddleware,
    RemoveEnclosingMiddleware,
    ResolveStringReferencesMiddleware,
)
from bibtexparser.middlewares.names import (
    parse_single_name_into_parts,
    split_multiple_persons_names,
)

from core.foreign import one_line

LONGEST_BIBTEX = 1 << 22
"""Characters of a text that is read: 4 Mi, some ten thousand entries."""
logging.getLogger("bibtexparser").setLevel(logging.ERROR)  # what fails is in the result


_HANGUL = re.compile(r"[가-힣]{1,20}(?:,? [가-힣]{1,20})?")
_INSTITUTION = re.compile(r"\{(?:[^{}]|\{[^{}]{0,400}\}){1,400}\}")
UNENDED = "it is not an entry that ends"


@dataclass(frozen=True, slots=True)
class BibEntry:
    """One reference.

    Attributes:
        key: by which a text cites it.
        kind: `article`, `misc` … in small letters.
        fields: name in small letters to value, as BibTeX has it.
        plain: the same without LaTeX, for people.
        line: where it begins, from 1.
        source: its own text.
    """

    key: str
    kind: str
    fields: Mapping[str, str]
    plain: Mapping[str, str]
    line: int
    source: str

    @property
    def authors(self) -> tuple[str, ...]:
        """Their names as `G. M. Amdahl`; an institution as it is."""
        return tuple(_initials(name) for name in _people(self.fields.get("author", "")))


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a text.

    Attributes:
        line: where, from 1.
        what: half a sentence about it.
        key: of the entry; empty if it has none.
    """

    line: int
    what: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Bibliography:
    """What a text of BibTeX holds, in its order; of two entries with one key the first counts."""

    entries: tuple[BibEntry, ...]
    faults: tuple[Fault, ...]

    @property
    def by_key(self) -> dict[str, BibEntry]:
        """Each entry by its key."""
        return {entry.key: entry for entry in reversed(self.entries)}


def read_bibtex(text: str) -> Bibliography:
    """Read a text of BibTeX.

    Args:
        text: at most `LONGEST_BIBTEX` characters count; a longer one is a fault.
    """
    if len(text) > LONGEST_BIBTEX:
        return Bibliography((), (Fault(1, f"it has more than {LONGEST_BIBTEX} characters"),))
    try:
        library = entrypoint.parse_string(
            text, parse_stack=[ResolveStringReferencesMiddleware(), RemoveEnclosingMiddleware()]
        )
    except (ValueError, RecursionError, ParsingException) as error:
        return Bibliography((), (Fault(1, f"it cannot be read: {one_line(str(error), 200)}"),))
    entries, faults = [], []
    for block in library.blocks:
        if isinstance(block, model.ParsingFailedBlock):
            faults.append(_fault(block))
        elif isinstance(block, model.Entry):
            entries.append(_entry(block))
            faults += _misspelt(block)
    return Bibliography(tuple(entries), tuple(faults))


def _entry(block: model.Entry) -> BibEntry:
    fields = {field.key.lower(): str(field.value) for field in block.fields}
    return BibEntry(
        key=block.key,
        kind=block.entry_type.lower(),
        fields=fields,
        plain={name: without_latex(value) for name, value in fields.items()},
        line=_line(block),
        source=block.raw or "",
    )


def _line(block: model.Block) -> int:
    return (block.start_line or 0) + 1


def _fault(block: model.ParsingFailedBlock) -> Fault:
    line = _line(block)
    if isinstance(block, model.DuplicateBlockKeyBlock):
        first = _line(block.previous_block)
        return Fault(line, f"its key {block.key} is that of line {first}", block.key)
    if isinstance(block, model.DuplicateFieldKeyBlock):
        entry = block.ignore_error_block
        key = entry.key if isinstance(entry, model.Entry) else ""
        names = ", ".join(sorted(block.duplicate_keys))
        return Fault(line, f"it has a field twice: {names}", key)
    begins = one_line(block.raw or "", 60)
    return Fault(line, f"{UNENDED}: `{begins}`")


def _misspelt(block: model.Entry) -> Iterator[Fault]:
    """An entry without a key cannot be cited."""
    if not block.key.strip():
        yield Fault(_line(block), "it has no key")


NAMED = {r"\textbraceleft{}": r"\{", r"\textbraceright{}": r"\}", r"\textasciicircum{}": "^"}
"""Names of signs that pylatexenc does not know, or reads as others."""
_DECODE = LatexDecodingMiddleware(keep_math_mode=False)


def without_latex(value: str) -> str:
    """What a value of BibTeX says, without its braces and commands; itself if that fails."""
    if not any(mark in value for mark in "\\{}$~-`'"):
        return " ".join(value.split())
    for name, escaped in NAMED.items():
        value = value.replace(name, escaped)
    entry = model.Entry("misc", "it", [model.Field("value", value)])
    try:
        made = _DECODE.transform_entry(entry, Library([]))
    except (ValueError, RecursionError, IndexError, KeyError):
        return " ".join(value.split())
    found = made.fields[0].value if isinstance(made, model.Entry) else value
    return " ".join(str(found).split())


def _people(value: str) -> list[str]:
    return split_multiple_persons_names(" ".join(value.split()))


def plain_people(value: str) -> str:
    """Names without LaTeX, but of institutions within the braces that keep them in one piece."""
    return " and ".join(
        f"{{{without_latex(name)}}}" if is_institution(name) else without_latex(name)
        for name in _people(value)
    )


def is_institution(name: str) -> bool:
    """Whether a name is in braces as a whole, so that no given name is looked for in it."""
    return _INSTITUTION.fullmatch(name) is not None


def _initials(name: str) -> str:
    """`Amdahl, Gene M.` or `Gene M. Amdahl` as `G. M. Amdahl`; a Korean name is not shortened."""
    if is_institution(name):
        return without_latex(name)
    if _HANGUL.fullmatch(name):
        return "".join(name.replace(",", " ").split())
    try:
        parts = parse_single_name_into_parts(name, strict=False)
    except ValueError:
        return without_latex(name)
    first = [_initial(without_latex(one)) for one in parts.first]
    family = [without_latex(one) for one in (*parts.von, *parts.last, *parts.jr)]
    return " ".join((*first, *family))


def _initial(name: str) -> str:
    return "-".join(f"{part[0]}." for part in name.split("-") if part)
