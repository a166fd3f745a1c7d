"""SSH: one connection a node, opened once, and on it one long conversation with the helper.

Fabric reads the user's SSH configuration and connects; the steps themselves go over a channel
that stays open, because a channel, a shell and a `sudo` for each step would cost more than the
step. Host keys are checked against the project's file and unknown ones are refused, unlike
Fabric's default.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import fabric
import paramiko

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.protocol import Link, NodeLostError, Reply, ReplyReader, Request

HELPER = "/usr/local/libexec/llama-herd/herd-node"
KNOWN_HOSTS = "inventory/known_hosts"  # as in ansible.cfg
CONNECT_S = 10
KEEPALIVE_S = 5
PIECE_BYTES = 1 << 18


class SshTransport:
    """Connections to nodes, one each, made when first needed.

    Args:
        project: folder that relative paths of the inventory begin at.
    """

    def __init__(self, project: Path) -> None:
        # Without a handler Paramiko's own account of a failed login goes to the terminal.
        logging.getLogger("paramiko").addHandler(logging.NullHandler())
        self._project = project
        self._connections: dict[str, fabric.Connection] = {}
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
            connection = self._connections.get(node.name)
        if connection is None:
            connection = self._connect(node)
            with self._lock:
                self._connections[node.name] = connection
        try:
            channel: paramiko.Channel = connection.transport.open_session(timeout=CONNECT_S)
            channel.settimeout(CONNECT_S)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise NodeLostError(
                node.name, f"{node.name} does not answer ({_reason(error)})"
            ) from None
        return channel

    def drop(self, node: Node) -> None:
        """Forget the connection to a node; the next `open` makes another."""
        with self._lock:
            connection = self._connections.pop(node.name, None)
        if connection is not None:
            # Fabric would wait for the other side; this one does not answer.
            connection.client.close()

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            connection.client.close()

    def _connect(self, node: Node) -> fabric.Connection:
        known_hosts = self._known_hosts(node)
        connection = fabric.Connection(
            host=node.address,
            user=node.user,
            port=node.port,
            connect_timeout=CONNECT_S,
            connect_kwargs=self._credentials(node),
        )
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            connection.client.load_host_keys(str(known_hosts))
            connection.open()
        except (paramiko.SSHException, OSError, EOFError) as error:
            connection.client.close()
            raise _refused(node, known_hosts, error) from None
        transport: Any = connection.transport
        # A reply of a few bytes must not wait for the acknowledgement of the one before.
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_keepalive(KEEPALIVE_S)
        return connection

    def _known_hosts(self, node: Node) -> Path:
        path = self._project / Path(node.known_hosts or KNOWN_HOSTS).expanduser()
        if not path.exists():
            raise HerdError(
                f"Connecting to {node.name}: {path}, the file of its host key, does not exist. "
                f"Compare the node's key and put it there: ssh-keyscan {node.address} >> {path}"
            )
        return path

    def _credentials(self, node: Node) -> dict[str, Any]:
        """What Paramiko needs to log in, with every wait bounded."""
        bounded = {"banner_timeout": CONNECT_S, "auth_timeout": CONNECT_S}
        if node.key_file is None:
            return bounded
        path = self._project / Path(node.key_file).expanduser()
        if not path.exists():
            raise HerdError(
                f"Connecting to {node.name}: its key {path} does not exist. Put "
                "`ansible_ssh_private_key_file` in the inventory right."
            )
        return {**bounded, "key_filename": str(path), "look_for_keys": False, "allow_agent": False}


class SshLink:
    """One conversation with the helper on a node."""

    def __init__(self, node: Node, channel: paramiko.Channel) -> None:
        self.node = node
        self._channel = channel
        self._reader = ReplyReader()

    def send(self, request: Request) -> None:
        """Send a request."""
        try:
            self._channel.settimeout(CONNECT_S)
            self._channel.sendall(request.encode())
        except (OSError, paramiko.SSHException):
            raise self._ended() from None

    def poll(self, timeout_s: float) -> Reply | None:
        """The reply, or None if it does not come within that time."""
        until = time.monotonic() + timeout_s
        piece = b""  # a reply may have come together with the one before
        while True:
            try:
                reply = self._reader.feed(piece)
            except ValueError as error:
                raise NodeLostError(
                    self.node.name,
                    f"{self.node.name} says what its helper should not say: {error}",
                ) from None
            if reply is not None:
                return reply
            self._channel.settimeout(max(0.0, until - time.monotonic()))
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
        try:
            self._channel.shutdown_write()
            if timeout_s > 0:
                self._channel.settimeout(timeout_s)
                while self._channel.recv(PIECE_BYTES):
                    pass
        except (OSError, EOFError, paramiko.SSHException):
            pass  # it is gone already
        self._channel.close()

    def _ended(self) -> NodeLostError:
        """The error for a conversation that the other side ended, with what it said last."""
        said = ""
        try:
            self._channel.settimeout(0.5)
            said = self._channel.recv_stderr(2000).decode("utf-8", "replace").strip()
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


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _refused(node: Node, known_hosts: Path, error: Exception) -> HerdError:
    """What a failed connection means and what to do about it."""
    where = f"Connecting to {node.name} ({node.user or 'you'}@{node.address} port {node.port})"
    host = node.address if node.port == 22 else f"[{node.address}]:{node.port}"  # noqa: PLR2004
    if isinstance(error, paramiko.BadHostKeyException):
        return HerdError(
            f"{where}: its host key is not the one in {known_hosts}. Either it was installed "
            "anew, or something else answers at this address. If you know why it changed: "
            f"ssh-keygen -R '{host}' -f {known_hosts}, then put the new key there."
        )
    if "not found in known_hosts" in str(error):
        return HerdError(
            f"{where}: its host key is not in {known_hosts}. Compare the node's key and put it "
            f"there: ssh-keyscan -p {node.port} {node.address} >> {known_hosts}"
        )
    if isinstance(error, paramiko.AuthenticationException | paramiko.PasswordRequiredException):
        return HerdError(
            f"{where}: it does not accept the key {node.key_file or 'of yours'}. Put the public "
            "half into ~/.ssh/authorized_keys there, or put `ansible_user` and "
            "`ansible_ssh_private_key_file` in the inventory right."
        )
    return NodeLostError(
        node.name,
        f"{where}: it does not answer ({_reason(error)}). Is it on, and on the network? "
        f"Try: ansible {node.name} -m ansible.builtin.ping",
    )
