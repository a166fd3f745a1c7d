"""What a journal, a container engine or a terminal puts before a line, by its kind.

Where the engine's own lines begin is known, so the text before them is the prefix. Of a prefix
some parts differ from line to line (times, counters, levels, streams) and others name who wrote
the line (hosts, units with their process, containers, addresses): lines of different names are of
different processes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile

LONGEST_PREFIX_BYTES = 200
IN_MEMORY_BYTES = 1 << 20
LONGEST_JOINED_BYTES = 1 << 19
"""What is more of a line is written before its end has come."""
MOST_GROUPS = 256
MOST_PATTERNS = 64
"""Of a group: the parts of a prefix that vary may appear in several orders."""

_TIME = rb"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?[AP]M)?"
# One alternative a kind; the first that fits counts. Those of `_VARYING` differ between lines.
_VARYING = {
    "iso": rb"\d{4}-\d\d-\d\d[T ]" + _TIME + rb"(?:Z|[+-]\d\d:?\d\d)?",
    "date": rb"[A-Za-z]{3,9}\.? {1,2}\d{1,2},? (?:\d{4} )?" + _TIME + rb"(?: \d{4})?",
    "weekday": rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b,?",
    "time": _TIME,
    "since": rb"\[ {0,12}\d{1,12}\.\d{1,9}\]",
    "tag": rb"(?:stdout|stderr) [FP](?![^ ])",
    "stream": rb"(?:<std(?:out|err)>|\bstd(?:out|err)\b)",
    "level": rb"(?<![\w\-/@])(?i:trace|debug|info|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?"
    rb"|fatal|out)(?![\w.\-/@]) {0,4}",
    "number": rb"\d{1,20}(?:[.,]\d{1,9})?",
}
_PARTS = re.compile(
    b"|".join(
        b"(?P<%b>%b)" % (name.encode(), form) for name, form in _VARYING.items() if name != "number"
    )
    + rb"|(?P<facility>(?:daemon|user|syslog|local[0-7])\.)"
    rb"|(?P<address>\d{1,3}(?:\.\d{1,3}){3})"
    rb"|(?P<name>[\w.\-/@]{0,120}[A-Za-z_][\w.\-/@]{0,120}(?:\[\d{1,10}\])?|\[[\d,]{1,20}\])"
    rb"|(?P<number>" + _VARYING["number"] + rb")|(?P<spaces> {1,80})"
)
_COLOURS = rb"(?:\x1b\[[\d;]{0,20}m){0,4}"
_DELIMITERS = b" \t|:>]-*#"


@dataclass(slots=True)
class Group:
    """The lines of one process.

    Attributes:
        name: what is the same before all its lines, for people.
        patterns: of its prefix.
        lines: without the prefix.
        held: the beginning of a line whose end follows, by stream.
    """

    name: str
    patterns: list[re.Pattern[bytes]]
    lines: SpooledTemporaryFile[bytes] = field(
        default_factory=lambda: SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - kept open
    )
    held: dict[bytes, bytearray] = field(default_factory=dict)

    def take(self, line: bytes) -> bool:
        """Keep what follows the prefix, if the line has it."""
        found = next(filter(None, (pattern.match(line) for pattern in self.patterns)), None)
        if found is None:
            return False
        tag = found.groupdict().get("tag") or b"stdout F"
        stream, _, part = tag.partition(b" ")
        rest = self.held.pop(stream, bytearray())
        rest += line[found.end() :]
        if part == b"P" and rest.endswith(b"\n"):
            del rest[-1:]
        if part == b"P" and len(rest) < LONGEST_JOINED_BYTES:
            self.held[stream] = rest
        else:
            self.lines.write(rest)
        return True

    def finish(self) -> None:
        """No line follows."""
        for rest in self.held.values():
            self.lines.write(rest + b"\n")
        self.lines.seek(0)


class Groups:
    """Lines of all processes in a file, each without its prefix."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._recent: list[Group] = []
        self._last: Group | None = None

    def take(self, line: bytes, mark: re.Match[bytes] | None) -> bool:
        """Keep a line. One that has no prefix seen so far needs a mark of the engine in it."""
        self._last = None
        for at, group in enumerate(self._recent):
            if group.take(line):
                if at:
                    self._recent.insert(0, self._recent.pop(at))
                self._last = group
                return True
        if mark is None or len(self._groups) >= MOST_GROUPS or not is_prefix(line[: mark.start()]):
            return False
        name, pattern = _shape(line[: mark.start()])
        group = self._groups.setdefault(name, Group(name, []))
        if len(group.patterns) >= MOST_PATTERNS:
            return False
        group.patterns.append(pattern)
        if group not in self._recent:
            self._recent.insert(0, group)
        self._last = group
        return group.take(line)

    def go_on(self, line: bytes) -> None:
        """Keep more of the line that was last taken, or not."""
        if self._last is not None:
            self._last.lines.write(line)

    def finish(self) -> list[Group]:
        """All of them, in the order of their first lines."""
        for group in self._groups.values():
            group.finish()
        return list(self._groups.values())


def is_prefix(before: bytes) -> bool:
    """Whether this may be a prefix: short, and ended by what parts it from the line."""
    return (
        0 < len(before) <= LONGEST_PREFIX_BYTES
        and before[-1:] in {b"%c" % sign for sign in _DELIMITERS}
        and not re.search(rb"[\x00-\x08\x0a-\x1f]", before)
    )


def _shape(prefix: bytes) -> tuple[str, re.Pattern[bytes]]:
    """What is the same in the prefixes of a process, and a pattern for all of them."""
    inner = prefix.rstrip(b" \t")
    end, name, pattern = 0, b"", _COLOURS
    for part in _PARTS.finditer(inner):
        between, kind = inner[end : part.start()], part.lastgroup or ""
        end = part.end()
        name += between
        pattern += re.escape(between) + _COLOURS
        if kind == "spaces":
            pattern += b" {%d,80}" % bool(part.start())
            name += b" "
        elif kind in _VARYING:
            name += b" " if kind == "level" else b""
            first_tag = kind == "tag" and b"(?P<tag>" not in pattern
            pattern += (b"(?P<tag>%b)" if first_tag else b"(?:%b)") % _VARYING[kind]
        else:
            pattern += re.escape(part[0])
            name += part[0]
        pattern += _COLOURS
    pattern += re.escape(inner[end:]) + _COLOURS
    # A line without words may have lost the blanks at its end.
    pattern += b"(?:%b%b|(?=\\n|\\Z))" % (re.escape(prefix[len(inner) :]), _COLOURS)
    told = b" ".join((name + inner[end:]).split()).strip(b" :|").decode(errors="replace")
    return told or "(no name)", re.compile(pattern)
