"""The one way by which text reaches a terminal.

Engines, APIs, nodes, files and their names may say anything: what acts on a terminal (control
sequences, marks of writing direction) and what Rich would take for markup is shown as it stands.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_ACTING_IN_JSON = re.compile(
    "[\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)
"""What of `models.foreign.visible` may stand in JSON; it stands in strings alone."""


def say(text: str) -> None:
    """Print a line, or several, for people; each call is seen at once."""
    sys.stdout.write(f"{_visible(text)}\n")
    sys.stdout.flush()


def say_json(text: str) -> None:
    """Print part of a JSON text; the same values, with nothing in them that acts."""
    if not text.isascii() or "\x7f" in text:  # most of it need not be looked through
        text = _ACTING_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.write(text)


def complain(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{_visible(text)}\n")


def shown(text: str, style: str = "") -> Text:
    """The text for Rich, without markup."""
    from rich.text import Text

    return Text(_visible(text), style=style)


def _visible(text: str) -> str:
    # With it comes Pydantic, which takes 0.1 s to load and which JSON does not need.
    from models.foreign import visible

    return visible(text)
