"""The one way by which text reaches a terminal.

Engines, APIs, nodes, files and their names may say anything: what acts on a terminal (control
sequences, marks of writing direction) and what Rich would take for markup is shown literally.
On a terminal lines end where words do; a command stays whole, so that it can be copied.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_ACTING_IN_JSON = re.compile(
    "[\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)
"""The part of `core.foreign.visible` that may appear in JSON; it appears only in strings."""

NARROWEST = 40
_PROGRAM = (
    r"(?:fab|ansible(?:-[a-z]+)?|sudo|ssh-[a-z]+|ssh|export|unset|source|chmod|wsl|apt(?:-get)?"
    r"|systemctl|git|curl|podman|(?:\S*/)?python3?|\S*\.venv/bin/\S+)"
)
_UNIT = re.compile(
    r"(?P<before> *)(?P<unit>"
    r"[(\[]?`[^`]+`\S*"
    # A command: what is set before it, the program, and words up to the end of the phrase.
    rf"|(?:[A-Z][A-Z0-9_]*=\S+ )*{_PROGRAM}(?= )(?: (?!\()\S*[^\s.,;:)](?= |$))*(?: (?!\()\S+)?"
    r"|\S+)"
)
"""What is not parted. Of English that begins as a command does, a line may be too long."""


def say_text(text: str) -> None:
    """Print a line, or several, for people; each call is seen at once."""
    sys.stdout.write(f"{wrapped(_visible(text), width_of(sys.stdout))}\n")
    sys.stdout.flush()


def say_json(text: str) -> None:
    """Print part of a JSON text; the same values, with nothing in them that acts."""
    if not text.isascii() or "\x7f" in text:  # most of it need not be looked through
        text = _ACTING_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.write(text)


def complain(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{for_errors(text)}\n")


def for_errors(text: str) -> str:
    """The text as it goes to standard error."""
    return wrapped(_visible(text), width_of(sys.stderr))


def width_of(stream: TextIO) -> int | None:
    """Columns of the terminal that a stream goes to; None where it goes elsewhere."""
    if not stream.isatty():
        return None
    told = os.environ.get("COLUMNS", "")
    try:
        columns = int(told) if told.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    return max(columns, NARROWEST) if columns else None


def wrapped(text: str, width: int | None) -> str:
    """The text with lines of at most so many columns, ended at words, never within a command.

    Continuation lines of indented text are indented two columns more. Without a width lines stay as
    they are.
    """
    if width is None:
        return text
    return "\n".join(_wrapped_line(line, width) for line in text.split("\n"))


def _wrapped_line(line: str, width: int) -> str:
    if len(line) <= width // 2:  # however wide its characters are
        return line
    # It takes a moment to load, and most lines are short.
    from rich.cells import cell_len

    begun = line[: len(line) - len(line.lstrip(" "))]
    deeper = begun and f"{begun}  "
    lines, current = [], ""
    for found in _UNIT.finditer(line):
        longer = f"{current}{found['before']}{found['unit']}"
        if current.strip() and cell_len(longer) > width:
            lines.append(current)
            longer = f"{deeper}{found['unit']}"
        current = longer
    return "\n".join([*lines, current])


def shown(text: str, style: str = "") -> Text:
    """The text for Rich, without markup."""
    from rich.text import Text

    return Text(_visible(text), style=style)


def print_note(console: Console, text: str) -> None:
    """Print what the user should know among what a display shows: yellow, lines end at words."""
    console.print(shown(wrapped(_visible(text), console.width), style="yellow"), soft_wrap=True)


def _visible(text: str) -> str:
    # With it comes Pydantic, which takes 0.1 s to load and which JSON does not need.
    from core.foreign import visible

    return visible(text)
