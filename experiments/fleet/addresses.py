"""By which address engines on other nodes reach a node, and which addresses that cannot be.

The runner and role node_base (`filter_plugins`) both ask here, so that what a run uses is what the
firewalls let in. For the latter's sake this imports nothing but Python's own modules.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

_NUMBERS = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)
"""What resolvers take for an address although its writing is another: `192.168.1.011` is `….9`."""
UNUSABLE = (
    ("0.0.0.0/8", "means every address of a machine, not a single one"),
    ("224.0.0.0/4", "is a multicast address, not a machine's"),
    ("240.0.0.0/4", "is a broadcast or reserved address, not a machine's"),
)


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node as the inventory has it.

    Attributes:
        ssh: name or address where SSH connects to.
        cluster: its `herd_cluster_address`; None where it has none.
        port: of its SSH server.
        way: the rest of SSH's route; behind other jump hosts an address is another
            machine's.
        is_here: whether it is this machine itself, which needs no SSH.
    """

    name: str
    ssh: str
    cluster: str | None = None
    port: int = 22
    way: Hashable = ()
    is_here: bool = False

    @property
    def server(self) -> Hashable:
        """What is the same of two places that are one machine."""
        return "here" if self.is_here else (ipv4(self.ssh) or self.ssh, self.port, self.way)

    @property
    def wanted(self) -> str:
        """What the inventory gives for engines: a name or an address."""
        return self.cluster or self.ssh


def ipv4(wanted: str) -> str | None:
    """An IPv4 address, or that of a name as this machine resolves it; None where there is none."""
    try:
        return str(ipaddress.IPv4Address(wanted))
    except ValueError:
        pass
    if _NUMBERS.fullmatch(wanted):
        return None
    try:
        return socket.gethostbyname(wanted)
    except (OSError, UnicodeError):  # the latter for a name that can be none
        return None


def refusals(places: Sequence[NodeAddress]) -> list[str]:
    """What is wrong with engine addresses of a cluster, each in a sentence with its remedy."""
    found = {place.name: ipv4(place.wanted) for place in places}
    told = [
        f"{place.name} {why}. Set `herd_cluster_address` of {place.name} to an IPv4 address "
        "where the other nodes can reach it."
        for place in places
        if (why := _obstacle(place, found[place.name], alone=len(places) == 1))
    ]
    return told or list(_clashes(places, found))


def _obstacle(place: NodeAddress, address: str | None, *, alone: bool) -> str | None:
    if address is None:
        return f"is at {place.wanted!r}, which is not an IPv4 address and cannot be resolved to one"
    here = "" if address == place.wanted else f", which is {address} on this machine"
    is_at = f"is at {place.wanted!r}{here}: that"
    number = ipaddress.IPv4Address(address)
    for network, why in UNUSABLE:
        if number in ipaddress.IPv4Network(network):
            return f"{is_at} {why}"
    if number.is_loopback and not alone:
        return f"{is_at} leads every machine to itself, so other nodes cannot reach it"
    if number.is_link_local and address != place.cluster:
        return f"{is_at} is an address that a machine gives itself while it has no other"
    return None


def _clashes(places: Sequence[NodeAddress], found: dict[str, str | None]) -> Iterator[str]:
    """Find nodes that share an address, or where one has the address of another."""
    first: dict[str | None, NodeAddress] = {}
    servers = {place.server: place for place in reversed(places)}
    for place in places:
        address = found[place.name]
        other = first.setdefault(address, place)
        if other is not place:
            yield (
                f"{other.name} and {place.name} both have the engine address {address}. Set "
                "`herd_cluster_address` of one of them to its own address."
            )
            continue
        other = servers[place.server]
        if other is not place:
            at = "this machine itself" if place.is_here else f"where SSH finds {place.ssh}"
            yield (
                f"{other.name} and {place.name} are the same machine: both are {at}. Remove one "
                "of them from the group, or correct its `ansible_host` or `ansible_connection`."
            )
            continue
        server = servers.get((address, place.port, place.way), place)
        if server is not place and found[server.name] != address:
            yield (
                f"the engine address of {place.name}, {address}, is where SSH finds {server.name}. "
                f"Set `herd_cluster_address` of {place.name} to its own address."
            )
