"""Documents that models score, as a user gives them: JSONL, or plain text cut at empty lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as numbers
from pathlib import Path
from typing import Annotated

from pydantic import Field

from core.errors import HerdError
from core.foreign import Count, one_line
from core.record import Record

LARGEST_BYTES = 1 << 28
"""256 MiB. A file of held-out documents is far smaller."""
SHORTEST = 16
"""Characters of a document: a shorter one has too few tokens to say anything."""
LONGEST = 4000
LONGEST_NAME = 200
_PLAIN = str.maketrans(
    {
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{HORIZONTAL ELLIPSIS}": "...",
    }
)
"""Signs of typography, which older texts have, as a keyboard writes them."""


class DocumentPart(Record):
    """A document, or a part of a long one, as every engine reads it: one line, single spaces.

    Attributes:
        document: its name; intervals are over documents, so parts of one count together.
        part: from 1.
        text: at most as many characters as the workload allows.
        is_cut: there was more text.
    """

    document: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    part: Annotated[int, Field(ge=1)] = 1
    text: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]
    is_cut: bool = False

    @property
    def name(self) -> str:
        """The document, with the number of the part from the second on."""
        return self.document if self.part == 1 else f"{self.document}, part {self.part}"


class LeftOut(Record):
    """How many parts of documents a file has that are not scored, and why.

    Attributes:
        beyond: more than were asked for.
        short: of less than 16 characters.
        unprintable: with characters that do not print, which engines read differently.
        not_ascii: with other characters than ASCII, where an engine cannot score these.
    """

    beyond: Count = 0
    short: Count = 0
    unprintable: Count = 0
    not_ascii: Count = 0


@dataclass(frozen=True, slots=True)
class TakenDocuments:
    """What of a file is scored, and what is not."""

    parts: tuple[DocumentPart, ...]
    left_out: LeftOut


def take_documents(
    path: Path, count: int, characters: int, *, only_ascii: bool = False
) -> TakenDocuments:
    """Read a file and take documents in its order; second parts come after all first ones.

    White space becomes single spaces; quotes, dashes and ellipses become those of ASCII.

    Args:
        path: `.jsonl`: an object a line, with `document` (its name) and `text`; several lines of
            one document are its parts. Any other: plain text, a document between empty lines.
        count: parts at most.
        characters: of each part at most; the rest of its text is cut off.
        only_ascii: leave out what has other characters.

    Raises:
        HerdError: no such file, not UTF-8, a line that is no such object, or nothing to score;
            with file and line.
    """
    read = _of_jsonl if path.suffix == ".jsonl" else _of_text
    texts = list(read(path, _content(path)))
    short = unprintable = not_ascii = 0
    parts: list[DocumentPart] = []
    seen: dict[str, int] = {}
    for document, raw in texts:
        text = " ".join(raw.translate(_PLAIN).split())
        if len(text) < SHORTEST:
            short += 1
        elif not text.isprintable():
            unprintable += 1
        elif only_ascii and not text.isascii():
            not_ascii += 1
        else:
            seen[document] = seen.get(document, 0) + 1
            kept = text[:characters].rstrip()
            parts.append(
                DocumentPart(
                    document=document,
                    part=seen[document],
                    text=kept,
                    is_cut=len(kept) < len(text),
                )
            )
    if not parts:
        raise HerdError(
            f"The file of documents {path} has no document of {SHORTEST} printable "
            f"{'ASCII ' if only_ascii else ''}characters or more: give a file with such documents."
        )
    parts.sort(key=lambda part: part.part)
    left_out = LeftOut(
        beyond=max(0, len(parts) - count), short=short, unprintable=unprintable, not_ascii=not_ascii
    )
    return TakenDocuments(tuple(parts[:count]), left_out)


def summary_of(parts: Sequence[DocumentPart], left_out: LeftOut) -> str:
    """Say what was taken, cut and left out, one line."""
    documents = len({part.document for part in parts})
    cut = sum(part.is_cut for part in parts)
    whole = "" if documents == len(parts) else f" in {len(parts)} parts"
    told = [f"{documents} documents{whole}" if documents > 1 else f"1 document{whole}"]
    if cut:
        told.append(f"{cut} of them cut")
    reasons = (
        (left_out.beyond, "beyond `count`"),
        (left_out.short, f"shorter than {SHORTEST} characters"),
        (left_out.unprintable, "with characters that do not print"),
        (left_out.not_ascii, "not in ASCII, which llama.cpp cannot score"),
    )
    left = [f"{number} {why}" for number, why in reasons if number]
    return ", ".join(told) + (f"; left out: {', '.join(left)}" if left else "")


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise HerdError(f"Could not read the file of documents {path}: {error.strerror}.") from None
    if len(content) > LARGEST_BYTES:
        raise HerdError(
            f"The file of documents {path} is larger than {LARGEST_BYTES >> 20} MiB: give a "
            "smaller one."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise HerdError(
            f"{path}, line {line}: it is not UTF-8. Save the file of documents as UTF-8."
        ) from None


def _of_jsonl(path: Path, content: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield _of_line(path, number, line)


def _of_line(path: Path, number: int, line: str) -> tuple[str, str]:
    right = 'a line must be like {"document": "a name", "text": "…"}'
    try:
        loaded = json.loads(line)
    except (ValueError, RecursionError) as error:
        told = one_line(str(error), 100)
        raise HerdError(f"{path}, line {number}: it is not JSON ({told}); {right}.") from None
    if not isinstance(loaded, dict):
        raise HerdError(f"{path}, line {number}: it is no JSON object; {right}.")
    for key in ("document", "text"):
        if not isinstance(loaded.get(key), str):
            problem = "must be a text" if key in loaded else "is missing"
            raise HerdError(f"{path}, line {number}: `{key}` {problem}; {right}.")
    document = one_line(loaded["document"], LONGEST_NAME)
    if not document:
        raise HerdError(f"{path}, line {number}: `document` is empty; {right}.")
    return document, loaded["text"]


def _of_text(_path: Path, content: str) -> Iterator[tuple[str, str]]:
    number = numbers(1)
    lines: list[str] = []
    for line in (*content.splitlines(), ""):
        if line.strip():
            lines.append(line)
        elif lines:
            yield f"paragraph {next(number)}", " ".join(lines)
            lines = []
