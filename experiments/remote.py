"""SSH: one connection a node, opened once, and on it one long conversation with the helper.

`experiments.hops` connects; the steps themselves go over a channel that stays open, because a
channel, a shell and a `sudo` for each step would cost more than the step. Host keys are checked
against the project's file and unknown ones are refused.
"""

from __future__ import annotations

import logging
import resource
import threading
import time
from pathlib import Path
from typing import Any

import paramiko

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.hops import CONNECT_S, Way, reason_of
from experiments.protocol import Link, NodeLostError, Reply, ReplyError, ReplyReader, Request
from models.foreign import one_line

HELPER = "/usr/local/libexec/llama-herd/herd-node"
KNOWN_HOSTS = "inventory/known_hosts"  # as in ansible.cfg
PIECE_BYTES = 1 << 18
MANY_FILES = 8192


class SshTransport:
    """Connections to nodes, one each, made when first needed.

    Args:
        project: folder that relative paths of the inventory begin at.
    """

    def __init__(self, project: Path) -> None:
        # Without a handler Paramiko's own account of a failed login goes to the terminal.
        logging.getLogger("paramiko").addHandler(logging.NullHandler())
        _allow_many_files()
        self._project = project
        self._ways: dict[str, Way] = {}
        self._lock = threading.Lock()

    def open(self, node: Node) -> Link:
        """A conversation with the helper on a node.

        Raises:
            HerdError: as `run`.
        """
        return SshLink(node, self.run(node, f"exec sudo -n {HELPER} serve"))

    def run(self, node: Node, command: str) -> paramiko.Channel:
        """A program that was just started on a node, with its input and output.

        Raises:
            HerdError: the node cannot be reached, does not let us in, or is not the one it was;
                the message names it and the remedy.
        """
        with self._lock:
            way = self._ways.get(node.name)
        if way is None:
            way = Way(node, self._known_hosts(node), self._credentials(node))
            with self._lock:
                self._ways[node.name] = way
        # Paramiko waits without end for a node that neither starts a program nor refuses to.
        watchdog = threading.Timer(2 * CONNECT_S, way.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            channel = way.transport.open_session(timeout=CONNECT_S)
            channel.settimeout(CONNECT_S)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise NodeLostError(
                node.name, f"{node.name} does not answer ({reason_of(error)})"
            ) from None
        finally:
            watchdog.cancel()
        return channel

    def drop(self, node: Node) -> None:
        """Forget the connection to a node; the next `open` makes another."""
        with self._lock:
            way = self._ways.pop(node.name, None)
        if way is not None:
            way.close()

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            ways, self._ways = list(self._ways.values()), {}
        for way in ways:
            way.close()

    def _known_hosts(self, node: Node) -> Path:
        path = self._project / Path(node.known_hosts or KNOWN_HOSTS).expanduser()
        if not path.exists():
            raise HerdError(
                f"Connecting to {node.name}: {path}, the file of its host key, does not exist. "
                f"Compare the node's key and put it there: ssh-keyscan {node.address} >> {path}"
            )
        return path

    def _credentials(self, node: Node) -> dict[str, Any]:
        """What Paramiko needs to log in."""
        if node.key_file is None:
            return {}
        path = self._project / Path(node.key_file).expanduser()
        if not path.exists():
            raise HerdError(
                f"Connecting to {node.name}: its key {path} does not exist. Put "
                "`ansible_ssh_private_key_file` in the inventory right."
            )
        return {"key_filename": str(path), "look_for_keys": False, "allow_agent": False}


def _allow_many_files() -> None:
    """Let this process open as many files as a thousand connections need, where it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MANY_FILES if hard == resource.RLIM_INFINITY else min(MANY_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class SshLink:
    """One conversation with the helper on a node."""

    def __init__(self, node: Node, channel: paramiko.Channel) -> None:
        self.node = node
        self._channel = channel
        self._reader = ReplyReader()

    def send(self, request: Request) -> None:
        """Send a request."""
        self._reader.expect(request.verb)
        until, left = time.monotonic() + CONNECT_S, request.encode()
        try:
            while left:  # however slowly the node takes it
                self._channel.settimeout(max(0.0, until - time.monotonic()))
                left = left[self._channel.send(left) :]
        except (OSError, paramiko.SSHException):
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
                    f"{self.node.name} says what its helper should not say: {error}",
                ) from None
            if reply is not None:
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
        except (OSError, EOFError, paramiko.SSHException):
            pass  # it is gone already
        self._channel.close()

    def _ended(self) -> NodeLostError:
        """The error for a conversation that the other side ended, with what it said last."""
        said = ""
        try:
            self._channel.settimeout(0.5)
            said = one_line(self._channel.recv_stderr(2000).decode("utf-8", "replace"))
        except (OSError, EOFError):
            pass
        name = self.node.name
        if "password is required" in said or "not found" in said or "no new privileges" in said:
            return NodeLostError(
                name,
                f"Starting the helper on {name}: {said}. "
                f"Provision it: ansible-playbook provision.yml --limit {name}",
            )
        told = f" ({said})" if said else ""
        return NodeLostError(name, f"the connection to {name} broke{told}")
