"""Reads plain text and cuts it into documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from experiments.finetune.data.documents import Document, text_fault
from experiments.finetune.data.formats import decoded, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.finetune.data.documents import Faults

TEXT_SUFFIXES = (".txt", ".md")
_TWO_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_BLANK_LINE = re.compile(r"\n(?:[ \t]*\n)+")


def read_text(path: Path, faults: Faults) -> str:
    """A plain text file, its ends of lines as line feeds; empty where it is damaged."""
    content = read_bounded(path)
    text = decoded(content, path, faults)
    if text is None:
        return ""
    if wrong := text_fault(text):
        line = text.count("\n", 0, max(0, text.find("\0"))) + 1
        faults.add(path, line, wrong)
        return ""
    return text


def blank_lines_of(text: str) -> tuple[str, re.Pattern[str]]:
    """At which blank lines a text is cut, for people and as a pattern.

    Two or more together separate documents; in a text without such, each one does.
    """
    if _TWO_BLANK_LINES.search(text.strip()):
        return "two or more blank lines", _TWO_BLANK_LINES
    return "blank lines", _BLANK_LINE


def parts_of(text: str, name: str, cut: re.Pattern[str]) -> list[Document]:
    """The documents of a text.

    Args:
        text: with line feeds as ends of lines.
        name: of its file.
        cut: what separates documents.
    """
    ends = [(found.start(), found.end()) for found in cut.finditer(text)]
    documents, line, at = [], 1, 0
    for end, after in [*ends, (len(text), len(text))]:
        part = text[at:end]
        if part.strip():
            before = part[: len(part) - len(part.lstrip())].count("\n")
            documents.append(Document(f"{name}:{line + before}", text=part.strip()))
        line += text.count("\n", at, after)
        at = after
    return documents
