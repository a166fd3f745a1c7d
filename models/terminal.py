"""The one way by which text reaches a terminal.

Engines, APIs, nodes, files and their names may say anything: what acts on a terminal (control
sequences, marks of writing direction) and what Rich would take for markup is shown as it stands.
"""

from __future__ import annotations

import sys

from rich.text import Text

from models.foreign import visible


def say(text: str) -> None:
    """Print a line, or several, for people; each call is seen at once."""
    sys.stdout.write(f"{visible(text)}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{visible(text)}\n")


def shown(text: str, style: str = "") -> Text:
    """The text for Rich, without markup."""
    return Text(visible(text), style=style)
