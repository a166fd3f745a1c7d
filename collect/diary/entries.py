"""What was written about a day, as a reader sees it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from collect.diary.log import Log
from collect.diary.outline import Block, Item, Outline, plain_text

_QUOTE = re.compile(r"^ {0,3}> ?", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(?:`{3,}|~{3,})")
DEEPEST = 5
"""Lists in lists beyond this depth are shown as text."""

Sort = Literal["item", "text", "code", "heading"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A piece of a day.

    Attributes:
        sort: `item` of a list, `text`, `code` as it is, or a `heading` within the day.
        text: on one line, but of code.
        depth: of an item in lists, from 0.
    """

    sort: Sort
    text: str
    depth: int = 0


def entries_of(log: Log, day: date) -> tuple[Entry, ...]:
    """Return what was written about a day, in its order."""
    found: list[Entry] = []
    for region in log.regions_of(day):
        if found and region.heading:
            found.append(Entry("heading", region.heading.title))
        found += _entries(log.outline, region.blocks)
    return tuple(found)


def _entries(outline: Outline, blocks: Iterable[Block], depth: int = 0) -> Iterator[Entry]:
    for block in blocks:
        raw = "".join(outline.lines[block.first : block.after])
        if block.items:
            for item in block.items:
                yield from _item(outline, item, depth)
        elif block.kind in ("fence", "code_block") or raw.lstrip().startswith("|"):
            yield Entry("code", _code(raw))
        elif block.kind in ("paragraph", "blockquote"):
            yield Entry("text", plain_text(" ".join(_QUOTE.sub("", raw).split())))


def _code(raw: str) -> str:
    lines = raw.splitlines()
    if lines and _FENCE.match(lines[0]):
        lines = lines[1:-1] if len(lines) > 1 and _FENCE.match(lines[-1]) else lines[1:]
    return textwrap.dedent("\n".join(lines)).rstrip()


def _item(outline: Outline, item: Item, depth: int) -> Iterator[Entry]:
    text = plain_text(" ".join(outline.text[item.begin : item.end].split()))
    if text:
        yield Entry("item", text, depth)
    rest = textwrap.dedent(outline.text[item.end : outline.starts[item.after]].lstrip("\r\n"))
    if not rest.strip():
        return
    if depth >= DEEPEST:
        yield Entry("code", rest.rstrip())
        return
    inner = Outline(rest)
    yield from _entries(inner, inner.blocks, depth + 1)
