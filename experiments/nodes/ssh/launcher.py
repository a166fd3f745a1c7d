"""The ways to nodes: one OpenSSH a node, and on it one long conversation with the helper.

`experiments.nodes.ssh.openssh` says how OpenSSH is called. The steps themselves go over its
standard input and output, which stay open, because a program, a shell and a `sudo` for each step
would cost more than the step. A node that is this machine itself is talked to in the same way,
without OpenSSH.
"""

from __future__ import annotations

import os
import random
import resource
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from core.errors import HerdError
from core.foreign import one_line
from experiments.fleet.cluster import Node
from experiments.fleet.commands import provision
from experiments.nodes.launcher import Conversation, NodeLostError, Reply, Request
from experiments.nodes.ssh.channel import BROKEN, MARK, Channel, SilentError
from experiments.nodes.ssh.openssh import Call, OpenSsh
from experiments.nodes.ssh.refusals import Failure, explained, is_unexplained, was_turned_away
from experiments.nodes.ssh.rules import CONNECT_S
from experiments.nodes.ssh.wire import ReplyError, ReplyReader, encode

HELPER = "/usr/local/libexec/llama-herd/herd-node"
PIECE_BYTES = 1 << 18
MANY_FILES = 8192
STARTED_S = 45.0
"""How long a node may take to start a program. After that a way that hangs is given up. A node that
does not answer at all OpenSSH itself gives up after `CONNECT_S`."""
ATTEMPTS = 12
"""At a server that turns us away because many come at once: of OpenSSH's, in the worst case, every
second to third time (`MaxStartups`)."""
PAUSE_S = (0.1, 1.5)
"""The pause before that, at random: those who were turned away together do not return together."""


class SshLauncher:
    """Programs on nodes, and conversations with their helpers.

    Args:
        project: folder that relative paths of the inventory begin at.
    """

    def __init__(self, project: Path) -> None:
        _allow_many_files()
        self._project = project
        self._ssh = OpenSsh(project)
        self._channels: dict[str, list[Channel]] = {}
        self._lock = threading.Lock()

    def open(self, node: Node) -> Conversation:
        """A conversation with the helper on a node.

        Raises:
            HerdError: as `run`.
        """
        # A helper of this machine must not be killed: it stops what it runs when its input ends.
        is_killed = node.connection != "local"
        return SshConversation(
            node, self._run(node, f"exec sudo -n {HELPER} serve", is_killed=is_killed)
        )

    def run(self, node: Node, command: str) -> Channel:
        """A program that was just started on a node, with its input and output.

        Args:
            node: where.
            command: for the login shell of the account there, whichever that is.

        Raises:
            HerdError: the node cannot be reached, does not let us in, or is not the one it was;
                the message names it and the remedy.
        """
        return self._run(node, command, is_killed=True)

    def _run(self, node: Node, command: str, *, is_killed: bool) -> Channel:
        marked = f"echo {MARK}; {command}"
        call = None if node.connection == "local" else self._ssh.call(node, marked)
        try:
            return self._begun(node, call, marked, is_killed=is_killed)
        finally:
            if call is not None and call.answer is not None:
                call.answer.close()

    def _begun(self, node: Node, call: Call | None, marked: str, *, is_killed: bool) -> Channel:
        for attempts_left in range(ATTEMPTS - 1, -1, -1):
            channel = self._start(node, call, marked, is_killed=is_killed)
            try:
                channel.await_mark(STARTED_S)
            except SilentError as error:
                said, has_ended = channel.said(), channel.status() is not None
                channel.close()
                if not was_turned_away(said) or not attempts_left:
                    if call is not None and has_ended and is_unexplained(said):
                        said = explained(said, self._said_in_full(node, call, marked))
                    raise self._failed(node, call, said, error) from None
            else:
                return channel
            time.sleep(random.uniform(*PAUSE_S))  # noqa: S311 - no secret
        raise AssertionError  # the last attempt returns or raises

    def _said_in_full(self, node: Node, call: Call, marked: str) -> str:
        """Return OpenSSH's full output for a failed connection, including jump hosts."""
        call = replace(call, argv=(call.argv[0], "-v", *call.argv[1:]))
        channel = self._start(node, call, marked, is_killed=True)
        with suppress(SilentError):
            channel.await_mark(CONNECT_S)
        said = channel.said()
        channel.close()
        return said

    def _start(self, node: Node, call: Call | None, marked: str, *, is_killed: bool) -> Channel:
        if call is not None and call.answer is not None:
            call.answer.fill()
        argv = call.argv if call else ("/bin/sh", "-c", marked)
        try:
            channel = Channel(
                argv,
                self._project,
                call.environment if call else os.environ,
                is_killed=is_killed,
            )
        except OSError as error:
            raise HerdError(
                f"Connecting to {node.name}: {argv[0]} cannot be started ({error.strerror})."
            ) from None
        with self._lock:
            self._channels.setdefault(node.name, []).append(channel)
        return channel

    def _failed(self, node: Node, call: Call | None, said: str, error: SilentError) -> HerdError:
        if call is None:
            return NodeLostError(
                node.name, f"Starting a program on {node.name}: {error} ({one_line(said)})"
            )
        return Failure(node, self._ssh, call, said, error).error()

    def drop(self, node: Node) -> None:
        """Forget the connections to a node; the next `open` makes another."""
        with self._lock:
            channels = self._channels.pop(node.name, [])
        for channel in channels:
            channel.close()

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            channels = [channel for known in self._channels.values() for channel in known]
            self._channels = {}
        for channel in channels:
            channel.close()
        self._ssh.close()


def _allow_many_files() -> None:
    """Let this process open as many files as a thousand connections need, where it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MANY_FILES if hard == resource.RLIM_INFINITY else min(MANY_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class SshConversation:
    """One conversation with the helper on a node."""

    def __init__(self, node: Node, channel: Channel) -> None:
        self.node = node
        self._channel = channel
        self._has_answered = False
        self._reader = ReplyReader()

    def send(self, request: Request) -> None:
        """Send a request."""
        self._reader.expect(request.verb)
        until, left = time.monotonic() + CONNECT_S, encode(request)
        try:
            while left:  # however slowly the node takes it
                self._channel.settimeout(max(0.0, until - time.monotonic()))
                left = left[self._channel.send(left) :]
        except OSError:
            raise self._ended() from None

    def poll(self, timeout_s: float) -> Reply | None:
        """The reply, or None if it is not whole within that time."""
        until = time.monotonic() + timeout_s
        piece = b""  # a reply may have come together with the one before
        while True:
            try:
                reply = self._reader.feed(piece)
            except ReplyError as error:
                raise NodeLostError(
                    self.node.name,
                    f"unexpected output from the helper on {self.node.name}: {error}",
                ) from None
            if reply is not None:
                self._has_answered = True
                return reply
            left_s = until - time.monotonic()
            if piece and left_s <= 0:
                return None
            self._channel.settimeout(max(0.0, left_s))
            try:
                piece = self._channel.recv(PIECE_BYTES)
            except TimeoutError:
                return None
            except OSError:
                raise self._ended() from None
            if not piece:
                raise self._ended()

    def close(self, timeout_s: float) -> None:
        """End the conversation; with a timeout, wait until the node stopped what it ran for it."""
        until = time.monotonic() + timeout_s
        try:
            self._channel.shutdown_write()
            while (left_s := until - time.monotonic()) > 0:
                self._channel.settimeout(left_s)
                if not self._channel.recv(PIECE_BYTES):
                    break
        except OSError:
            pass  # it is gone already
        self._channel.close()

    def _ended(self) -> NodeLostError:
        """The error for a conversation that the other side ended, with what it said last."""
        name, said, status = self.node.name, self._channel.last_said(), self._channel.status()
        told = f" ({said})" if said else ""
        if self._has_answered or status is None or status < 0 or status == BROKEN:
            return NodeLostError(name, f"the connection to {name} was lost{told}")
        return NodeLostError(
            name,
            f"Starting the helper on {name} failed{told}. Provision it: {provision(limit=[name])}",
        )
