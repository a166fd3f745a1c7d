"""Text from outside as text in Markdown: what it says is shown, none of it is markup.

Written for GitHub's dialect (CommonMark with tables, strikethrough, footnotes, formulas and
addresses that become links by themselves), and read alike by others.
"""

from __future__ import annotations

import re

from markupsafe import Markup

from core.foreign import visible

_ACTIVE = re.compile(
    r"[\\`*\[\]<>|~${}^]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it has no meaning
    r"|&(?=#?\w+;)"  # an entity
    r"|(?<=\])[(:]"  # the target of a link
    # What becomes a link by itself, or would be one in a reader that allows such targets.
    r"|(?<=\w):(?=//)|(?i:(?<=www)\.|(?<=mailto):|(?<=xmpp):|(?<=script):)|@(?=\w)"
)
_AT_START = re.compile(r"#{1,6}(?=\s|$)|[-+](?=\s|$)|[-=]{2,}|=|:(?=\s)")
_ADDRESS = re.compile(r"https?://[\w.~:/?#@!$&'()*+,;=%-]{1,2000}", re.ASCII)
_NUMBERED = re.compile(r"(\d{1,9})([.)])(?=\s|$)")


def escaped(text: str) -> str:
    r"""The text on one line, so that a reader of the Markdown sees it as it is.

    Characters with a meaning get a backslash, those that act are shown as by `visible`, line feeds
    and tabs become blanks.
    """
    line = _ACTIVE.sub(lambda found: f"\\{found[0]}", re.sub(r"\s+", " ", visible(text)))
    begins = line.lstrip(" ")
    blank = line[: len(line) - len(begins)]
    if _AT_START.match(begins):
        return f"{blank}\\{begins}"
    return blank + _NUMBERED.sub(r"\1\\\2", begins, count=1) if _NUMBERED.match(begins) else line


def as_markdown(value: object) -> object:
    """What a template of Markdown prints of a value; what a macro has made stays."""
    return value if hasattr(value, "__html__") else Markup(escaped(str(value)))  # noqa: S704


def as_link(address: str) -> Markup:
    """An address as a link to itself; as text where it is not a plain one of the web."""
    if _ADDRESS.fullmatch(address):
        return Markup(f"<{address}>")  # noqa: S704 - nothing in it ends the link
    return Markup(escaped(address))  # noqa: S704


def as_block(text: str) -> Markup:
    """The text as a block of code, by indenting every line."""
    lines = visible(text).split("\n")
    return Markup("\n".join(f"    {line}" for line in lines))  # noqa: S704 - code is not read
