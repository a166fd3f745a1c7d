"""Where things are in a Markdown text: headings, blocks and the items of lists, by offset.

A CommonMark parser finds them, so that code, comments and quotes that look like a heading are not
taken for one. Nothing here changes a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARKER = re.compile(r" {0,3}(?:([-*+])|\d{1,9}[.)])(?:[ \t]+|$)")
_TAG = re.compile(
    r"<!--.*|<br\s{0,9}/?>|</?(?:a|b|i|u|s|em|strong|sub|sup|small|mark|kbd|code|del|ins|span|font|img)"
    r"(?:\s[^<>=]{0,300}=[^<>]{0,300}|\s{0,9}/?)>",
    re.DOTALL | re.IGNORECASE,
)
"""A comment or a tag that people write into Markdown; others are text, such as `vector<float>`."""
LEFT_BELOW = ("hr", "html_block")
"""Blocks at the end of a section that what is added goes above: rules and comments."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading.

    Attributes:
        level: 1 to 6.
        title: as plain text.
        first: its line, from 0.
        after: the line after it.
    """

    level: int
    title: str
    first: int
    after: int


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a list that is in no other block.

    Attributes:
        first: its line, from 0.
        after: the line after its last one that is not blank.
        begin: offset in the text where its first paragraph begins, after the marker.
        end: offset where that paragraph ends; `begin` if there is none.
        lead: what is before the text of such an item: indentation, marker, blanks.
    """

    first: int
    after: int
    begin: int
    end: int
    lead: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block that is in no other.

    Attributes:
        kind: as the parser calls it, such as `paragraph`, `bullet_list`, `fence`.
        first: its line, from 0.
        after: the line after its last one that is not blank.
        items: of a list.
    """

    kind: str
    first: int
    after: int
    items: tuple[Item, ...] = ()


class Outline:
    """A text with the places of its lines, headings and blocks.

    Attributes:
        text: as it is in the file, without a byte order mark.
        lines: with their ends.
        starts: offset of each line, and that of the end.
        headings: in their order, those inside other blocks not included.
        blocks: in their order, headings not included.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = list(StringIO(text, newline=""))
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        tokens = _BLOCKS.parse(text)
        self.headings = tuple(_headings(tokens))
        self.blocks = tuple(self._blocks(tokens))

    @property
    def newline(self) -> str:
        """The end of the first line; a line feed where no line ends."""
        first = self.lines[0] if self.lines else ""
        return first[len(first.rstrip("\r\n")) :] or "\n"

    def is_blank(self, line: int) -> bool:
        """Whether a line has nothing but blanks; so has one after the end."""
        return line >= len(self.lines) or not self.lines[line].strip()

    def _blocks(self, tokens: Sequence[Token]) -> Iterator[Block]:
        for place, token in enumerate(tokens):
            is_block = token.level == 0 and token.map and token.nesting >= 0
            if not is_block or token.type == "heading_open" or token.map is None:
                continue
            items: tuple[Item, ...] = ()
            if token.type.endswith("list_open"):
                items = tuple(self._items(tokens, place))
            yield Block(
                token.type.removesuffix("_open"),
                token.map[0],
                self._last(token.map[0], token.map[1]),
                items,
            )

    def _last(self, first: int, after: int) -> int:
        while after > first + 1 and self.is_blank(after - 1):
            after -= 1
        return after

    def _items(self, tokens: Sequence[Token], place: int) -> Iterator[Item]:
        for at in range(place + 1, len(tokens)):
            token = tokens[at]
            if token.level == 0:
                return
            if token.type == "list_item_open" and token.level == 1 and token.map:
                yield self._item(token.map, tokens[at + 1])

    def _item(self, lines: Sequence[int], inner: Token) -> Item:
        first, after = lines[0], self._last(lines[0], lines[1])
        start = self.starts[first]
        marker = _MARKER.match(self.lines[first].rstrip("\r\n"))
        width = marker.end() if marker else 0
        begin = end = start + width
        if inner.type == "paragraph_open" and inner.map:
            begin = begin if inner.map[0] == first else self._text_of(inner.map[0])
            end = self.starts[inner.map[1] - 1] + len(self.lines[inner.map[1] - 1].rstrip())
        lead = self.lines[first][:width].rstrip() + " " if marker and marker[1] else "- "
        return Item(first, after, begin, end, lead)

    def _text_of(self, line: int) -> int:
        text = self.lines[line]
        return self.starts[line] + len(text) - len(text.lstrip(" \t"))


def _headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            title = plain_text(tokens[place + 1].content)
            yield Heading(int(token.tag[1]), title, token.map[0], token.map[1])


def plain_text(markdown: str) -> str:
    """Return the text of one paragraph as a reader sees it: links by their words, no emphasis.

    What is struck out keeps its marks, and what only looks like a tag, such as `<b and c>`, stays.
    """
    tokens = _PARSER.parseInline(markdown)
    return text_of(tokens[0]) if tokens else ""


def text_of(token: Token) -> str:
    """Return the text of a parsed paragraph or heading on one line."""
    parts = []
    for child in token.children or ():
        if child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "image":
            parts.append(text_of(child))
        elif child.type in ("s_open", "s_close"):
            parts.append(child.markup)
        elif child.type == "html_inline" and _TAG.fullmatch(child.content):
            parts.append(" " if child.content[:3].lower() == "<br" else "")
        else:
            parts.append(child.content)
    return " ".join("".join(parts).split())


_PARSER = MarkdownIt("commonmark").enable("strikethrough")
_BLOCKS = MarkdownIt("commonmark").disable(["inline", "text_join"])
"""Blocks alone: what is inside them is read where it is shown, which takes most of the time."""
