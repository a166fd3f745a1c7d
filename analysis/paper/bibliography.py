r"""The references of a paper: those that its runs draw on, and those of the user's study.

BibTeX hands fields to LaTeX as they are, and a field may have been fetched from anywhere. So an
entry of the study is taken only if its commands are accents, signs and forms of letters, and its
fields are written again, each as one text: BibTeX joins texts, also to the name of a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from analysis.paper.fonts import Font, font_with
from analysis.paper.latex import LETTERS, SIGNS
from analysis.references import bibtex, reference
from collect.citing.works import AS_THEY_ARE, FIELDS
from core.bibtex import BibEntry, read_bibtex
from core.errors import HerdError
from core.foreign import one_line
from core.record import read_file, why

NAME = "references.bib"
LARGEST_BYTES = 1 << 22
_COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
ALLOWED = frozenset("\"'`^~=.&%$#_{}-,; ") | frozenset(
    """
    c v u H k r b d l L o O ss ae AE oe OE aa AA i j th TH dh DH dj DJ ng NG
    textit textbf texttt textsc textrm textup emph url mathrm mathit
    alpha beta gamma delta epsilon lambda mu pi sigma omega times pm cdot le ge approx infty
    ldots dots textendash textemdash textquoteleft textquoteright textquotedblleft
    textquotedblright textbraceleft textbraceright textunderscore textasciitilde
    textsuperscript textsubscript
    copyright textregistered texttrademark S P pounds
    """.split()  # noqa: SIM905 - as a list it would be a page
)
"""Commands that a field of an entry may have."""
MONTHS = frozenset("jan feb mar apr may jun jul aug sep oct nov dec".split())  # noqa: SIM905
"""Words for texts that every style of BibTeX has."""
_KEY = re.compile(r"[^\s{}()\"#%,=~\\^$&']+")
PRINTED = frozenset(FIELDS) | frozenset(
    "address chapter crossref institution issn key organization school type version".split()  # noqa: SIM905
)
"""Fields that styles print; others, such as `file`, are of the user's own programs and machine."""
_BARE = re.compile(r"(?<!\\)[&%#]")
"""Signs that people type as they are, and that end a line or a table for LaTeX."""
JOINED = "texts that are joined by #"
UNBALANCED = "a brace that BibTeX does not find the other of"
TORN = "{file}, line {line}: {what}, so it is not among the references of the paper."
LOADED = (
    "{file}, line {line}: the entry {key} has {command}, which a paper does not pass to LaTeX, so "
    "it is not among its references."
)


@dataclass(frozen=True, slots=True)
class PaperReferences:
    """What BibTeX reads.

    Attributes:
        text: the file.
        left_out: what of the user's file is not in it, a sentence each.
    """

    text: str
    left_out: tuple[str, ...] = ()


def bibliography_of(keys: Iterable[str], own: Path | None) -> PaperReferences:
    """Put the references of a paper together. Of two with one key, the user's counts.

    Args:
        keys: of the shipped references that the paper cites.
        own: the user's file, which need not exist; None for none.

    Raises:
        HerdError: the user's file cannot be read.
    """
    entries: dict[str, str] = {key: _set(bibtex((reference(key),))) for key in dict.fromkeys(keys)}
    left_out: list[str] = []
    for entry in _of_study(own, left_out) if own else ():
        entries[entry.key] = _written(entry)
    return PaperReferences("".join(entries.values()), tuple(left_out))


def _of_study(own: Path, left_out: list[str]) -> Iterator[BibEntry]:
    try:
        text = read_file(own.parent, own.name, LARGEST_BYTES).decode("utf-8")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = why(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise HerdError(f"Reading the references {own}: {reason}.") from None
    found = read_bibtex(text)
    left_out += [TORN.format(file=own, line=one.line, what=one.what) for one in found.faults]
    for entry in found.entries:
        command = unfit(entry.source) or _unlike_one_text(entry)
        if command is None:
            yield entry
        else:
            told = {"line": entry.line, "key": one_line(entry.key, 60), "command": command}
            left_out.append(LOADED.format(file=own, **told))


def _unlike_one_text(entry: BibEntry) -> str | None:
    """What makes BibTeX read other fields than those that were looked at; None for nothing."""
    if not _KEY.fullmatch(entry.key):
        return "such a key"
    if _joins(entry.source):
        return JOINED
    return UNBALANCED if not all(map(_is_balanced, entry.fields.values())) else None


def _joins(source: str) -> bool:
    """Whether a `#` is outside of braces and quotes, where BibTeX joins what is around it."""
    depth, is_quoted = 0, False
    for letter in re.split(r"[{(]", source, maxsplit=1)[-1]:
        depth += (letter == "{") - (letter == "}")
        if depth == 0 and letter == '"':
            is_quoted = not is_quoted
        elif depth == 0 and letter == "#" and not is_quoted:
            return True
    return False


def _is_balanced(value: str) -> bool:
    """Whether braces end where they should; for BibTeX a backslash before one changes nothing."""
    depth = 0
    for letter in value:
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            return False
    return depth == 0


def _written(entry: BibEntry) -> str:
    """The entry with each printed field as one text, words that `@string` defines filled in."""
    fields = (
        f"  {name} = {_value(name, value)},\n"
        for name, value in entry.fields.items()
        if name in PRINTED
    )
    return f"@{entry.kind}{{{entry.key},\n{''.join(fields)}}}\n\n"


def _value(name: str, value: str) -> str:
    if name == "month" and value.lower() in MONTHS:
        return value
    return f"{{{value if name in AS_THEY_ARE else _set(_BARE.sub(_escaped, value))}}}"


def _escaped(sign: re.Match[str]) -> str:
    return f"\\{sign[0]}"


def unfit(source: str) -> str | None:
    """The first thing in an entry that LaTeX must not get; None where all of it is harmless."""
    if "^^" in source:
        return "^^"
    found = (match[0] for match in _COMMAND.finditer(source) if match[1] not in ALLOWED)
    return one_line(next(found, ""), 40) or None


def _set(text: str) -> str:
    """The text with other alphabets in fonts that have them."""
    return "".join(_run(font, "".join(run)) for font, run in groupby(text, _font))


def _font(character: str) -> Font | None:
    is_own = character.isascii() or character in LETTERS or character in SIGNS
    return None if is_own else font_with(character)


def _run(font: Font | None, run: str) -> str:
    if font is not None:
        return f"{{\\{font.command}{{{run}}}}}"
    return "".join(map(_own, run))


def _own(character: str) -> str:
    """A character that no font is named for; what BibTeX and LaTeX act on stays as it is."""
    if character.isascii() or character in LETTERS:
        return character
    return SIGNS.get(character, rf"\texttt{{U+{ord(character):04X}}}")
