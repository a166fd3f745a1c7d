"""What is trained on: documents and conversations, each with the place that it was read from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import HerdError
from core.foreign import one_line

Role = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)
MOST_DOCUMENTS = 500_000
MOST_BYTES = 128 << 20
"""Of all files of a recipe together; training on more than this takes weeks on such machines."""
LONGEST_LINE_BYTES = 1 << 20
_SHOWN = 8


@dataclass(frozen=True)
class Turn:
    """What one side of a conversation says."""

    role: Role
    text: str


@dataclass(frozen=True)
class Document:
    """A text, or a conversation.

    Attributes:
        place: where it was read, such as `pairs.jsonl:12`; the number is its line.
        text: all of it; of a conversation empty.
        turns: of a conversation; of a text none.
    """

    place: str
    text: str = ""
    turns: tuple[Turn, ...] = ()

    @property
    def prompt(self) -> str:
        """What is asked first; of a text, the text."""
        return next((turn.text for turn in self.turns if turn.role == "user"), self.text)

    @property
    def whole(self) -> str:
        """All of its turns, without signs of a template."""
        return "\n".join(turn.text for turn in self.turns) if self.turns else self.text


class Faults:
    """What is wrong with lines of the data. One damaged line stops the command.

    Leaving lines out in silence would train on other data than the user believes.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._count = 0

    def add(self, file: object, line: int, wrong: str, *, of: str = "line") -> None:
        """Note a mistake.

        Args:
            file: its path.
            line: from 1.
            wrong: what is wrong and what would be right, without a full stop.
            of: what `line` counts.
        """
        self._count += 1
        if self._count <= _SHOWN:
            self._told.append(f"{file}, {of} {line}: {one_line(wrong)}.")

    def add_at(self, place: str, wrong: str) -> None:
        """Note a mistake in a document, by its place."""
        file, _, line = place.rpartition(":")
        self.add(file, int(line), wrong)

    def require_none(self) -> None:
        """Stop if anything is wrong.

        Raises:
            HerdError: with the first mistakes, one a line.
        """
        if not self._count:
            return
        many = f"{self._count} entries are damaged" if self._count > 1 else "One entry is damaged"
        more = self._count - len(self._told)
        further = [f"… and {more} more."] if more else []
        first = (
            f"{many}. None is left out in silence: correct or delete what is named here, then "
            "repeat the command."
        )
        raise HerdError("\n".join([first, *self._told, *further]))


def text_fault(text: str) -> str | None:
    """Why a text cannot be trained on; None if it can."""
    if not text.strip():
        return "it is empty"
    if "\0" in text:
        return "it contains a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it contains half a character (a lone surrogate)"
    return None


def turns_fault(turns: Iterable[Turn]) -> str | None:
    """Why turns make no conversation to learn from; None if they do."""
    roles = [turn.role for turn in turns]
    if roles[:1] == ["system"]:
        del roles[0]
    expected = ["user", "assistant"] * (len(roles) // 2)
    if not roles or roles != expected:
        told = ", ".join(roles[:6]) or "none"
        return (
            "the roles must be user and assistant in turn, first perhaps system, and end with "
            f"assistant; they are {told}{' …' if len(roles) > 6 else ''}"  # noqa: PLR2004 - as above
        )
    return None
