"""The way to a node over SSH: the node itself, or the jump hosts before it.

`experiments.ssh_config` says which way that is. The host key of every machine on it is checked,
unlike Fabric's default.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import fabric
import paramiko

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.protocol import NodeLostError
from experiments.ssh_config import SSH_PORT, Place, place_of, way_to
from models.foreign import one_line

CONNECT_S = 10
KEEPALIVE_S = 5
LOOK_S = 1.0
"""How often a connection's thread looks whether it is to send a sign of life. Paramiko's own 0.1 s
keeps a core busy with a thousand of them."""
BOUNDED = {"banner_timeout": CONNECT_S, "auth_timeout": CONNECT_S, "channel_timeout": CONNECT_S}
"""Every wait of Paramiko that has a bound to be set."""


Gateway: TypeAlias = "fabric.Connection | str | Literal[False]"
"""What stands before a connection: another one, a command, or nothing."""


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
        passing: Place | None = None
        own = place_of(node.address, node.user, None if node.port == SSH_PORT else node.port)
        way = way_to(own)
        gateway: Gateway = (way[0] if way else own).command or False
        try:
            for passing in way:
                gateway = self._open(passing, gateway, known_hosts, {}, is_jump=True)
            passing = None
            self._open(own, gateway, known_hosts, credentials, is_jump=False)
        except Exception as error:  # noqa: BLE001 - Paramiko raises whatever its parsing raises
            self.close()
            raise refused(node, known_hosts, error, own, passing) from None

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

    def _open(
        self,
        place: Place,
        gateway: Gateway,
        known_hosts: Path,
        credentials: dict[str, Any],
        *,
        is_jump: bool,
    ) -> fabric.Connection:
        """The next connection, open, over the one before."""
        hop = fabric.Connection(
            host=place.host,
            user=place.user,
            port=place.port,
            gateway=gateway,
            config=fabric.Config(ssh_config=paramiko.SSHConfig()),  # `place` has it all
            connect_timeout=CONNECT_S,
            connect_kwargs={"key_filename": list(place.keys), **BOUNDED, **credentials},
        )
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
        return hop


def reason_of(error: Exception) -> str:
    """What an error says, on one line."""
    return one_line(str(error)) or type(error).__name__


def refused(
    node: Node, known_hosts: Path, error: Exception, own: Place, jump: Place | None = None
) -> HerdError:
    """What a failed connection means and what to do about it.

    Args:
        node: where to.
        known_hosts: file in which its key should stand.
        error: what Paramiko raised.
        own: the node as the SSH configuration has it.
        jump: the jump host where it failed; None where that is the node.
    """
    failed = jump or own
    address, port = failed.host, failed.port
    where = f"Connecting to {node.name}"
    if jump is not None:
        where += f" through its jump host {jump.named}"
    where += f" ({failed.user}@{address} port {port})"
    host = address if port == SSH_PORT else f"[{address}]:{port}"
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


def _not_let_in(where: str, node: Node, jump: Place | None) -> HerdError:
    if jump is not None:
        return HerdError(
            f"{where}: it accepts no key of yours. Name its user and key in ~/.ssh/config (`User`, "
            f"`IdentityFile`) below `Host {jump.named}`."
        )
    return HerdError(
        f"{where}: it does not accept the key {node.key_file or 'of yours'}. Put the public "
        "half into ~/.ssh/authorized_keys there, or put `ansible_user` and "
        "`ansible_ssh_private_key_file` in the inventory right."
    )
