"""The conversation with the helper on a node (`roles/node_base/files/herd-node`).

A request is a verb, lines `key=value`, and an empty line. A reply is any number of parts, each
`part <name> <bytes>` and exactly so many bytes (logs pass as they are), then `end ok <verb>` or
`end error <verb>` (a part `error` then says why). Each request has one reply; that of `run` comes
when the process has ended, and other requests are answered meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from collect.errors import HerdError
from experiments.cluster import Node


class NodeLostError(HerdError):
    """A node does not answer, or the connection to it broke.

    Attributes:
        node: its name.
    """

    def __init__(self, node: str, message: str) -> None:
        super().__init__(message)
        self.node = node


@dataclass(frozen=True, slots=True)
class Request:
    """What a node is asked to do.

    Attributes:
        fields: keys and values in order; a key may occur more than once.
    """

    verb: str
    fields: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """The request as it goes over the wire.

        Raises:
            HerdError: a value holds a line break or NUL.
        """
        lines = [self.verb, *(f"{key}={value}" for key, value in self.fields)]
        for line in lines:
            if "\n" in line or "\0" in line:
                raise HerdError(
                    f"Asking a node to {self.verb}: a line break in {line[:60]!r}. Arguments of "
                    "programs on nodes must be single lines."
                )
        return ("\n".join(lines) + "\n\n").encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a node answered.

    Attributes:
        verb: what it was asked.
        ok: whether it did it.
        parts: part name to content, verbatim.
    """

    verb: str
    ok: bool
    parts: Mapping[str, bytes] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A part as text, stripped; empty when there is none."""
        return self.parts.get(name, b"").decode("utf-8", "replace").strip()

    def pairs(self, name: str) -> dict[str, str]:
        """A part of `key=value` lines."""
        lines = (line.partition("=") for line in self.text(name).splitlines())
        return {key: value for key, separator, value in lines if separator}


class ReplyReader:
    """Puts a reply together from the pieces that arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts: dict[str, bytes] = {}

    def feed(self, piece: bytes) -> Reply | None:
        """Take a piece; the whole reply if this was its end.

        Raises:
            ValueError: the other side does not keep to the protocol.
        """
        self._buffer += piece
        while True:
            line_end = self._buffer.find(b"\n")
            if line_end < 0:
                return None
            words = bytes(self._buffer[:line_end]).split(b" ")
            if words[:2] in ([b"end", b"ok"], [b"end", b"error"]):
                del self._buffer[: line_end + 1]
                verb = words[-1].decode()
                reply, self._parts = Reply(verb, words[1] == b"ok", self._parts), {}
                return reply
            try:
                kind, name, size = words
                whole = line_end + 1 + int(size)
            except ValueError:
                kind, name, whole = b"", b"", 0
            if kind != b"part":
                raise ValueError(bytes(self._buffer[:200]).decode("utf-8", "replace"))
            if len(self._buffer) < whole:
                return None
            self._parts[name.decode()] = bytes(self._buffer[line_end + 1 : whole])
            del self._buffer[:whole]


class Link(Protocol):
    """An open conversation with the helper on one node; one request at a time."""

    node: Node

    def send(self, request: Request) -> None:
        """Send a request. Raises NodeLostError."""

    def poll(self, timeout_s: float) -> Reply | None:
        """The reply, or None if it does not come within that time. Raises NodeLostError."""

    def close(self, timeout_s: float) -> None:
        """Say goodbye: the node stops what it runs for this link. Waits for it so long."""


class Transport(Protocol):
    """Makes links."""

    def open(self, node: Node) -> Link:
        """A new link to a node. Raises HerdError (NodeLostError when it does not answer)."""

    def drop(self, node: Node) -> None:
        """Forget the connection to a node that was lost."""

    def close(self) -> None:
        """End all connections."""


def expect(link: Link, doing: str, timeout_s: float) -> Reply:
    """Wait for a reply.

    Raises:
        NodeLostError: none came in time, or the connection broke.
    """
    reply = link.poll(timeout_s)
    if reply is None:
        raise NodeLostError(
            link.node.name, f"{link.node.name} did not answer within {timeout_s:.0f} s ({doing})"
        )
    return reply


def ask(link: Link, request: Request, timeout_s: float = 20.0) -> Reply:
    """Send a request and wait for its reply.

    Raises:
        NodeLostError: none came in time, or the connection broke.
        HerdError: the node refused; the message has its reason.
    """
    link.send(request)
    reply = expect(link, request.verb, timeout_s)
    if not reply.ok:
        raise HerdError(f"Asking {link.node.name} to {request.verb}: {reply.text('error')}")
    return reply
