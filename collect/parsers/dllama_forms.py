"""The lines that distributed-llama prints, by era; docs/logs.md has their formats."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

LONGEST_NUMBER = 9
"""Digits of a figure: more are no time of a token (11 days) and no traffic of one (1 TB)."""

MOST_SHAPE_LINES = 256
"""The engines print some twenty."""

MARK = b"\xf0\x9f\x94"  # what the orange and the blue diamond begin with
ORANGE, BLUE = "🔶 ".encode(), "🔷(?:\ufe0f)? ".encode()
_END = rb"\r?\n?\Z"


def padded_number(width: int) -> bytes:
    """Pattern of a number as `%<width>u` prints it: no wider than it must be, and no narrower."""
    fits, wider = rb"(?=[ \d]{%d}\d(?!\d))" % (width - 1), rb"(?=\d{%d})" % (width + 1)
    return rb"(?:%b|%b) {0,%d}(0|[1-9]\d{0,%d})" % (fits, wider, width - 1, LONGEST_NUMBER - 1)


_4, _5, _6 = padded_number(4), padded_number(5), padded_number(6)
EVAL_E = re.compile(
    BLUE
    + rb"Eval%b ms Sync%b ms \| Sent%b kB Recv%b kB \| \((0|[1-9]\d{0,8}) tokens\)"
    % (_5, _5, _6, _6)
    + _END
)
PRED_E = re.compile(ORANGE + rb"Pred%b ms Sync%b ms \| Sent%b kB Recv%b kB \| " % (_5, _5, _6, _6))
EVAL_D = re.compile(
    BLUE + rb"E%b ms S%b kB R%b kB \((0|[1-9]\d{0,8}) tokens\)" % (_5, _6, _6) + _END
)
PRED_D = re.compile(ORANGE + rb"P%b ms S%b kB R%b kB " % (_5, _6, _6))
PRED_ABC = re.compile(
    ORANGE + rb"(?:%b )?G %b ms I %b ms T %b ms S %b kB R %b kB " % (_4, _4, _4, _4, _6, _6)
)
_FORMS = (PRED_E, EVAL_E, PRED_D, EVAL_D, PRED_ABC)


def cut_line(line: bytes, most: int) -> bytes:
    """The line, with its end, without what is more than so many bytes."""
    return line if len(line) <= most else line[:most] + (b"\n" if line.endswith(b"\n") else b"")


def is_record(line: bytes) -> bool:
    """Whether a line has the form of a record of any era."""
    return line.startswith(MARK) and any(form.match(line) for form in _FORMS)


_SHAPE = re.compile("💡 ([A-Za-z]{1,40}): (.{0,400})".encode())
_MEMORY = re.compile("📀 RequiredMemory: (\\d{1,12}) (kB|MB)".encode())
LATE_KEYS = frozenset({"HeadDim", "QDim", "KvDim"})
"""Shape lines since v0.14.0."""
_LOADED = ("💿 Weights loaded".encode(), "⏩ Loaded ".encode())


_U4, _U5, _U6 = (rb"(.{%d})" % width for width in (4, 5, 6))
# Atomic, not possessive: with a possessive repeat of a group inside a group Python 3.11.2, which is
# Debian 12's, finds nothing.
_WITH_TEXT = rb"((?>.*(?:\n(?!\xf0\x9f|\Z).*)*))\n"
"""The text up to the next line that begins with a sign of that plane, as all marks do."""
USUAL: Mapping[str, re.Pattern[bytes]] = MappingProxyType(
    {
        era: re.compile(b"^" + ORANGE + form + _WITH_TEXT, re.MULTILINE)
        for era, form in {
            "E": rb"Pred%b ms Sync%b ms \| Sent%b kB Recv%b kB \| " % (_U5, _U5, _U6, _U6),
            "D": rb"P%b ms S%b kB R%b kB " % (_U5, _U6, _U6),
            "A": rb"G %b ms I %b ms T %b ms S %b kB R %b kB " % (_U4, _U4, _U4, _U6, _U6),
            "B": rb" {0,3}\d{1,4} G %b ms I %b ms T %b ms S %b kB R %b kB "
            % (_U4, _U4, _U4, _U6, _U6),
        }.items()
    }
)
"""By era, predictions no wider than needed, many at once; numbers as in `USUAL_NUMBER`."""
STOPS = tuple(b"\n" + word for word in (b"Evaluati", b"Generated t", b"Results", _LOADED[1][:3]))
"""How lines may begin that are no text, among those that `USUAL` takes for some."""
USUAL_NUMBER = re.compile(rb" {0,5}(0|[1-9]\d{0,5})")


@dataclass(slots=True)
class Head:
    """What a process prints before its first record.

    Attributes:
        model: the shape lines, name to value, as printed.
        required_memory_mib: of this node, as it says itself.
        memory_unit: kB (until v0.15.3) or MB; None where no such line is printed.
        loaded_in: unit in which eras A to C print the size of the loaded file.
        weights_loaded: it got so far.
    """

    model: dict[str, str | int | float] = field(default_factory=dict)
    required_memory_mib: float | None = None
    memory_unit: str | None = None
    loaded_in: str | None = None
    weights_loaded: bool = False

    @property
    def is_of_era_e(self) -> bool:
        """Whether only versions of era E say such things."""
        return self.memory_unit == "MB" or not LATE_KEYS.isdisjoint(self.model)

    def read(self, line: bytes) -> None:
        """Take what the line says, if it is one of these."""
        if len(self.model) < MOST_SHAPE_LINES and (shape := _SHAPE.match(line)):
            self.model[sys.intern(shape[1].decode())] = _number_or_text(
                shape[2].decode(errors="replace")
            )
        elif memory := _MEMORY.match(line):
            self.memory_unit = memory[2].decode()
            self.required_memory_mib = int(memory[1]) / (1024 if memory[2] == b"kB" else 1)
        elif line.startswith(_LOADED):
            self.weights_loaded = True
            if line.startswith(_LOADED[1]):
                self.loaded_in = "bytes" if b" bytes" in line else "kB"


def _number_or_text(value: str) -> str | int | float:
    value = value.strip()
    if re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    return float(value) if re.fullmatch(r"-?\d{1,18}\.\d{1,18}", value) else value
