"""How a node is connected: its addresses, who listens, firewalls, and the other nodes."""

from __future__ import annotations

import socket
from typing import Any

from experiments.doctor.probe.firewalls import AsRoot, firewalls
from experiments.doctor.probe.peers import peers
from experiments.doctor.probe.place import Place

LISTEN = "0A"


def network(
    place: Place, address: str, others: list[dict[str, Any]], as_root: AsRoot | None = None
) -> dict[str, Any]:
    """Connections.

    Args:
        place: the node.
        address: IPv4 address by which engines reach this node.
        others: the other nodes: name, address, SSH port.
        as_root: asks a program as root, where this account may without a password.
    """
    addresses = own_addresses(place)
    used = interface(place, addresses, address)
    mtu = place.text(f"/sys/class/net/{used}/mtu")
    return {
        "addresses": addresses,
        "interface": used,
        "is_tunnel": is_tunnel(place, used),
        "mtu": int(mtu) if mtu.isdigit() else None,
        "leaves_by": {one["name"]: leaves_by(addresses, one["address"]) for one in others},
        "listening": listening(place),
        "firewalls": firewalls(place, as_root),
        **peers(place, others, list(addresses)),
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


def is_tunnel(place: Place, name: str) -> bool:
    """Whether an interface is made by a program for a virtual network: tun, tap, WireGuard."""
    folder = f"/sys/class/net/{name}"
    kind = place.text(f"{folder}/uevent")
    return place.exists(f"{folder}/tun_flags") or "DEVTYPE=wireguard" in kind


def leaves_by(addresses: dict[str, str], there: str) -> str | None:
    """The own interface by which the kernel would send to an address; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((there, 9))
            return addresses.get(asking.getsockname()[0])
    except OSError:
        return None


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
