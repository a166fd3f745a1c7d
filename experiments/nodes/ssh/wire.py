"""The conversation with the helper on a node (`roles/node_base/files/herd_node/`).

A request is a verb, lines `key=value`, and an empty line. A reply is any number of parts, each
`part <name> <bytes>` and exactly so many bytes (logs pass as they are), then `end ok <verb>` or
`end error <verb>` (a part `error` then says why). Each request has one reply; that of `run` comes
when the process has ended, and other requests are answered meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from core.errors import HerdError
from core.foreign import is_file_name, one_line
from experiments.nodes.launcher import Reply, Request
from experiments.nodes.ssh.readings import node_reading, unit_state

VERBS_WITH_LOGS = frozenset({"run", "stop", "fetch"})
LOG_BYTES = 256 << 20
"""Of all that a process wrote; engines write some hundred bytes for a token."""
SMALL_BYTES = 8 << 20
"""Of any other reply; facts are the longest, with a stamp for each engine and model."""
MOST_PARTS = 4096
LONGEST_HEADER_BYTES = 300
PART_WORDS = 3
GOING_DOWN = "is destructive"
"""What systemd says to a unit that should start while its machine stops or reboots."""
_SIZE = re.compile(r"[0-9]{1,12}")


def encode(request: Request) -> bytes:
    """The request as it goes over the wire.

    Dollar signs of arguments are doubled, because systemd replaces variables in them.

    Raises:
        HerdError: a value holds a line break or NUL.
    """
    lines = [request.verb, *(f"{key}={_escaped(key, value)}" for key, value in request.fields)]
    for line in lines:
        if "\n" in line or "\0" in line:
            raise HerdError(
                f"Asking a node to {request.verb}: a line break in {line[:60]!r}. Arguments of "
                "programs on nodes must be single lines."
            )
    return ("\n".join(lines) + "\n\n").encode()


def _escaped(key: str, value: str) -> str:
    return value.replace("$", "$$") if key == "arg" else value


def reply_of(verb: str, *, ok: bool, parts: Mapping[str, bytes]) -> Reply:
    """What the parts of the helper's reply say."""
    told = Reply(verb, ok, parts)
    lives = told.text("alive") == "yes" if verb == "fetch" else None
    return replace(
        told,
        state=unit_state(told.pairs("props"), still_running=lives),
        before=node_reading(told.pairs("before")),
        after=node_reading(told.pairs("after")),
        is_going_down=GOING_DOWN in told.why(),
    )


class ReplyError(ValueError):
    """The other side does not keep to the protocol; the message says how, as half a sentence."""


class ReplyReader:
    """Puts replies together from the pieces that arrive.

    A node may be broken, or taken over: it gets no more memory than what it was asked may take, and
    nothing but replies to what it was asked.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts: dict[str, bytes] = {}
        self._taken_bytes = 0
        self._asked: list[str] = []

    def expect(self, verb: str) -> None:
        """One reply to this verb is to come."""
        self._asked.append(verb)

    def feed(self, piece: bytes) -> Reply | None:
        """Take a piece; the whole reply if this was its end.

        Raises:
            ReplyError: the other side does not keep to the protocol.
        """
        self._buffer += piece
        while True:
            header = self._header()
            if header is None:
                return None
            words = header.split(" ")
            if words[0] == "end":
                return self._end(words, header)
            name, size = self._part(words, header)
            whole = len(header) + 1 + size
            if len(self._buffer) < whole:
                return None
            self._parts[name] = bytes(memoryview(self._buffer)[len(header) + 1 : whole])
            self._taken_bytes += whole
            del self._buffer[:whole]

    def _header(self) -> str | None:
        """The next line, which stays in the buffer; None until it is whole."""
        end = self._buffer.find(b"\n", 0, LONGEST_HEADER_BYTES)
        if end < 0 and len(self._buffer) >= LONGEST_HEADER_BYTES:
            raise ReplyError(_shown(self._buffer))
        line = self._buffer[: max(end, 0)]
        if not line.isascii():
            raise ReplyError(_shown(self._buffer))
        return None if end < 0 else line.decode("ascii")

    def _part(self, words: list[str], header: str) -> tuple[str, int]:
        """Name and size of the part that a line announces."""
        kind, name, size = words if len(words) == PART_WORDS else ("", "", "")
        if kind != "part" or not _SIZE.fullmatch(size) or not is_file_name(name):
            raise ReplyError(_shown(header.encode()))
        most_bytes = max(map(most_bytes_of, self._asked), default=SMALL_BYTES)
        if self._taken_bytes + int(size) > most_bytes:
            raise ReplyError(
                f"{name} of {size} bytes, but at most {most_bytes} in total are allowed"
            )
        if name in self._parts or len(self._parts) == MOST_PARTS:
            raise ReplyError(f"{name} twice, or more than {MOST_PARTS} parts")
        return name, int(size)

    def _end(self, words: list[str], header: str) -> Reply:
        told, verb = words[1:] if len(words) == PART_WORDS else ("", "")
        if told not in ("ok", "error"):
            raise ReplyError(_shown(header.encode()))
        if verb not in self._asked:
            raise ReplyError(f"a reply to {one_line(verb, 40)}, which was not requested")
        self._asked.remove(verb)
        del self._buffer[: len(header) + 1]
        reply = reply_of(verb, ok=told == "ok", parts=self._parts)
        self._parts, self._taken_bytes = {}, 0
        return reply


def most_bytes_of(verb: str) -> int:
    """What a reply to a verb may hold: logs are long, all else is not."""
    return LOG_BYTES if verb in VERBS_WITH_LOGS else SMALL_BYTES


def _shown(data: bytes | bytearray) -> str:
    return one_line(bytes(data[:200]).decode("utf-8", "replace"), 200)
