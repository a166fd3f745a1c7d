"""The seam to nodes: what opens conversations with them, and what is exchanged in one.

A launcher reaches a node and starts processes there, by any means. Engines, trials, the
session and the ledger know no more of it than this module. Each request gets one reply; that of
`run` comes when its process has ended, and other requests are answered meanwhile.
docs/architecture.md lists the verbs with their fields and parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from collect.attempt import NodeReading
from core.errors import HerdError
from core.foreign import one_line
from experiments.fleet.cluster import Node


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


@dataclass(frozen=True, slots=True)
class UnitState:
    """What became of a process; names as in `collect.attempt.ProcessRecord`. None: not known."""

    running: bool = False
    exit_code: int | None = None
    signal: int | None = None
    result: str | None = None
    started_at: float | None = None
    runtime_s: float | None = None
    cpu_s: float | None = None
    memory_peak_mib: float | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a node answered.

    Attributes:
        verb: what it was asked.
        ok: whether it did it.
        parts: part name to content, verbatim.
        state: of the process that was run, stopped or fetched.
        before: how the node was before the process started.
        after: how it is now.
        is_going_down: the node refused because it stops or boots.
    """

    verb: str
    ok: bool
    parts: Mapping[str, bytes] = field(default_factory=dict)
    state: UnitState = UnitState()
    before: NodeReading = field(default_factory=NodeReading)
    after: NodeReading = field(default_factory=NodeReading)
    is_going_down: bool = False

    def text(self, name: str) -> str:
        """A part as text, stripped; empty when there is none."""
        return self.parts.get(name, b"").decode("utf-8", "replace").strip()

    def why(self) -> str:
        """Why it was not done, on one line."""
        return one_line(self.text("error"))

    def pairs(self, name: str) -> dict[str, str]:
        """A part of `key=value` lines."""
        lines = (line.partition("=") for line in self.text(name).splitlines())
        return {key: value for key, separator, value in lines if separator}


class Conversation(Protocol):
    """An open conversation with the helper on one node; one request at a time."""

    node: Node

    def send(self, request: Request) -> None:
        """Send a request. Raises NodeLostError."""

    def poll(self, timeout_s: float) -> Reply | None:
        """The reply, or None if it does not come within that time. Raises NodeLostError."""

    def close(self, timeout_s: float) -> None:
        """Say goodbye: the node stops what it runs for this conversation. Waits for it so long."""


class Launcher(Protocol):
    """Makes conversations."""

    def open(self, node: Node) -> Conversation:
        """A new conversation with a node. Raises HerdError, NodeLostError if it is silent."""

    def drop(self, node: Node) -> None:
        """Forget the connection to a node that was lost."""

    def close(self) -> None:
        """End all connections."""


def expect(conversation: Conversation, doing: str, timeout_s: float) -> Reply:
    """Wait for a reply.

    Raises:
        NodeLostError: none came in time, or the connection broke.
    """
    reply = conversation.poll(timeout_s)
    if reply is None:
        raise NodeLostError(
            conversation.node.name,
            f"{conversation.node.name} did not answer within {timeout_s:.0f} s ({doing})",
        )
    return reply


def ask(conversation: Conversation, request: Request, timeout_s: float = 20.0) -> Reply:
    """Send a request and wait for its reply.

    Raises:
        NodeLostError: none came in time, or the connection broke.
        HerdError: the node refused; the message has its reason.
    """
    conversation.send(request)
    reply = expect(conversation, request.verb, timeout_s)
    if not reply.ok:
        raise HerdError(f"Asking {conversation.node.name} to {request.verb}: {reply.why()}")
    return reply
