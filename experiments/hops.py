"""The way to a node over SSH: the node itself, or the jump hosts before it.

Fabric reads the user's SSH configuration; its `ProxyJump` and `ProxyCommand` are followed. The host
key of every machine on the way is checked, unlike Fabric's default.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import fabric
import paramiko

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.protocol import NodeLostError
from models.foreign import one_line

CONNECT_S = 10
KEEPALIVE_S = 5
LOOK_S = 1.0
"""How often a connection's thread looks whether it is to send a sign of life. Paramiko's own 0.1 s
keeps a core busy with a thousand of them."""
BOUNDED = {"banner_timeout": CONNECT_S, "auth_timeout": CONNECT_S, "channel_timeout": CONNECT_S}
"""Every wait of Paramiko that has a bound to be set."""


class Way:
    """Open connections to a node and to the jump hosts before it.

    Args:
        node: where to.
        known_hosts: file of host keys; those of jump hosts may stand in the user's own, too.
        credentials: what Paramiko needs to log in to the node.

    Raises:
        HerdError: a machine on the way cannot be reached, does not let us in, or is not the one it
            was; the message names it and the remedy.
    """

    def __init__(self, node: Node, known_hosts: Path, credentials: dict[str, Any]) -> None:
        self._hops: list[fabric.Connection] = []
        gateway: fabric.Connection | str | bool = False
        passing: fabric.Connection | None = None
        try:
            config = fabric.Config()
            asked = _asked_for(node, config.base_ssh_config)
            for jump in _jumps(asked):
                passing = fabric.Connection(
                    jump,
                    gateway=gateway,
                    config=config.clone(),
                    connect_timeout=CONNECT_S,
                    connect_kwargs=dict(BOUNDED),
                )
                self._open(passing, known_hosts, is_jump=True)
                gateway, passing = passing, None
            own = fabric.Connection(
                host=node.address,
                user=node.user,
                port=node.port,
                gateway=gateway or _command(asked),
                config=config,
                connect_timeout=CONNECT_S,
                connect_kwargs={**BOUNDED, **credentials},
            )
            self._open(own, known_hosts, is_jump=False)
        except Exception as error:  # noqa: BLE001 - Paramiko raises whatever its parsing raises
            self.close()
            raise refused(node, known_hosts, error, passing) from None

    @property
    def transport(self) -> paramiko.Transport:
        """The connection to the node."""
        transport: paramiko.Transport = self._hops[-1].transport
        return transport

    def close(self) -> None:
        """End the connections, the node's first, without waiting for the other side."""
        for hop in reversed(self._hops):
            own = hop.client.get_transport()
            if own is not None and isinstance(own.sock, socket.socket):
                with suppress(OSError):  # it is gone already
                    own.sock.shutdown(socket.SHUT_RDWR)  # its thread sees that at once
            hop.client.close()

    def _open(self, hop: fabric.Connection, known_hosts: Path, *, is_jump: bool) -> None:
        self._hops.append(hop)
        hop.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        if is_jump:  # as OpenSSH does: options for the node are not for the way to it
            hop.client.load_system_host_keys()
        hop.client.load_host_keys(str(known_hosts))
        hop.open()
        hop.transport.set_keepalive(KEEPALIVE_S)
        if isinstance(hop.transport.sock, socket.socket):
            # A reply of a few bytes must not wait for the acknowledgement of the one before.
            hop.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hop.transport.sock.settimeout(LOOK_S)


def _asked_for(node: Node, config: paramiko.SSHConfig) -> paramiko.SSHConfigDict:
    """What the user's configuration says of a node."""
    if re.fullmatch(r"[\w.:-]+", node.address):
        # What stands last counts least; `%p` in a command is the inventory's port.
        config.parse(StringIO(f"Host {node.address}\n  Port {node.port}\n"))
    return config.lookup(node.address)


def _jumps(asked: paramiko.SSHConfigDict) -> list[str]:
    """Jump hosts as `[user@]host[:port]`, in the order in which they are passed."""
    jumps = [jump.strip().removeprefix("ssh://") for jump in asked.get("proxyjump", "").split(",")]
    return [jump for jump in jumps if jump and jump.lower() != "none"]


def _command(asked: paramiko.SSHConfigDict) -> str | bool:
    """The command whose input and output stand for a connection; False for none."""
    command = str(asked.get("proxycommand", ""))
    return False if command.lower() in ("", "none") else command


def reason_of(error: Exception) -> str:
    """What an error says, on one line."""
    return one_line(str(error)) or type(error).__name__


def refused(
    node: Node, known_hosts: Path, error: Exception, jump: fabric.Connection | None = None
) -> HerdError:
    """What a failed connection means and what to do about it.

    Args:
        node: where to.
        known_hosts: file in which its key should stand.
        error: what Paramiko raised.
        jump: the jump host where it failed; None where that is the node.
    """
    if jump is None:
        address, port, user = node.address, node.port, node.user
        where = f"Connecting to {node.name}"
    else:
        address, port, user = jump.host, jump.port, jump.user
        where = f"Connecting to {node.name} through its jump host {address}"
    where += f" ({user or 'you'}@{address} port {port})"
    host = address if port == 22 else f"[{address}]:{port}"  # noqa: PLR2004
    if isinstance(error, paramiko.BadHostKeyException):
        return HerdError(
            f"{where}: its host key is not the one in {known_hosts}. Either it was installed "
            "anew, or something else answers at this address. If you know why it changed: "
            f"ssh-keygen -R '{host}' -f {known_hosts}, then put the new key there."
        )
    if "not found in known_hosts" in str(error):
        return HerdError(
            f"{where}: its host key is not in {known_hosts}. Compare its key and put it "
            f"there: ssh-keyscan -p {port} {address} >> {known_hosts}"
        )
    if isinstance(error, paramiko.AuthenticationException | paramiko.PasswordRequiredException):
        return _not_let_in(where, node, jump)
    return NodeLostError(
        node.name,
        f"{where}: it does not answer ({reason_of(error)}). Is it on, and on the network? "
        f"Try: ansible {node.name} -m ansible.builtin.ping",
    )


def _not_let_in(where: str, node: Node, jump: fabric.Connection | None) -> HerdError:
    if jump is not None:
        return HerdError(
            f"{where}: it accepts no key of yours. Name its user and key in ~/.ssh/config (`User`, "
            f"`IdentityFile`) below `Host {jump.host}`."
        )
    return HerdError(
        f"{where}: it does not accept the key {node.key_file or 'of yours'}. Put the public "
        "half into ~/.ssh/authorized_keys there, or put `ansible_user` and "
        "`ansible_ssh_private_key_file` in the inventory right."
    )
