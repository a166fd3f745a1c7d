"""How a node is connected: its addresses, who listens, and whether it reaches the other nodes."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from experiments.doctor.probe.place import Place

LISTEN = "0A"
PEER_S = 5.0


def network(place: Place, address: str, peers: list[dict[str, Any]]) -> dict[str, Any]:
    """Connections.

    Args:
        place: the node.
        address: IPv4 address by which engines reach this node.
        peers: the other nodes: name, address, SSH port.
    """
    addresses = own_addresses(place)
    with ThreadPoolExecutor(max_workers=max(1, len(peers))) as pool:
        reached = dict(zip([peer["name"] for peer in peers], pool.map(greeting, peers)))
    return {
        "addresses": addresses,
        "interface": interface(place, addresses, address),
        "listening": listening(place),
        "ufw": re.search(r"^ENABLED=yes", place.text("/etc/ufw/ufw.conf"), re.MULTILINE)
        is not None,
        "peers": reached,
    }


def own_addresses(place: Place) -> dict[str, str]:
    """IPv4 addresses to their interfaces."""
    found = {}
    for line in place.ask("ip", "-oneline", "-4", "address", "show").out.splitlines():
        words = line.split()
        if "inet" in words[:-1]:
            found[words[words.index("inet") + 1].partition("/")[0]] = words[1]
    return found


def interface(place: Place, addresses: dict[str, str], address: str) -> str:
    """The interface with that address; else that of the default route; else loopback."""
    if address in addresses:
        return addresses[address]
    for line in place.text("/proc/net/route").splitlines():
        words = line.split()
        if words[1:2] == ["00000000"]:
            return words[0]
    return "lo"


def listening(place: Place) -> list[int]:
    """TCP ports that something listens on beyond loopback, from the node's own socket table.

    Never by a connection: one that says nothing ends distributed-llama's workers.
    """
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in place.text(table).splitlines()[1:]:
            words = line.split()
            host, _, port = words[1].rpartition(":")
            # Addresses are words in the machine's byte order: 127.x.x.x ends in 7F.
            is_loopback = host.endswith("7F") or host == f"{0:024X}01000000"
            if words[3] == LISTEN and not is_loopback:
                ports.add(int(port, 16))
    return sorted(ports)


def greeting(peer: dict[str, Any]) -> str | None:
    """Why a node's SSH server cannot be reached; None if it greets.

    An SSH server speaks first (RFC 4253, 4.2), so that nothing has to be said to it.
    """
    try:
        with socket.create_connection((peer["address"], peer["port"]), PEER_S) as connection:
            connection.settimeout(PEER_S)
            said = connection.recv(64)
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None if said.startswith(b"SSH-") else "something that is no SSH server answers"
