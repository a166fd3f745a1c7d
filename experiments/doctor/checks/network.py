"""Link, addresses, and whether nodes reach each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.doctor.checks import firewalls
from experiments.doctor.checks.ports import is_engine_port
from experiments.doctor.facts import Facts
from experiments.doctor.finding import Answer, Finding, ok, problem, warning

USUAL_MBIT = 1000


def check(answer: Answer, facts: Facts, others: Sequence[Answer]) -> Iterator[Finding]:
    """The link, then the ports."""
    yield _tunnel(facts) if facts.network.is_tunnel else _link(facts)
    if facts.wsl is None:
        yield from _way(answer, facts, others)
    yield from _lease(facts)
    yield from _address(answer, facts, others)
    yield from _peers(facts, others)
    yield from firewalls.check(answer, facts, others)


def _tunnel(facts: Facts) -> Finding:
    return warning(
        "link",
        f"Engines talk through {facts.base.nic}, a tunnel (VPN): each packet is packed twice, and "
        "its way may be a long one.",
        "Where the nodes share a network of their own, set `herd_cluster_address` to the address "
        "in that.",
    )


def _link(facts: Facts) -> Finding:
    base = facts.base
    if base.wireless:
        return warning(
            "link",
            f"Engines talk by Wi-Fi ({base.nic}): each token waits for the network several times, "
            "and how long changes from moment to moment.",
            "Plug in a cable and set `herd_cluster_address` to its address.",
        )
    if facts.wsl is not None:
        return ok(
            "link",
            f"{base.nic}, lent by Windows: cable or Wi-Fi, and how fast, cannot be seen from here.",
        )
    if base.wireless is None:
        return ok(
            "link",
            f"{base.nic} is no device of this system's own: whether a cable lies behind it, and "
            "how fast, cannot be seen from here.",
        )
    if base.link_mbit is None:
        return ok("link", f"{base.nic}, wired; its speed is not told.")
    if base.link_mbit < USUAL_MBIT:
        return warning(
            "link",
            f"{base.nic} runs at {base.link_mbit} Mbit/s; Gigabit is usual.",
            "Try another cable and another port of the switch; a Raspberry Pi 3 or older has no "
            "faster one.",
        )
    return ok("link", f"{base.nic}, wired, {base.link_mbit} Mbit/s.")


def _way(answer: Answer, facts: Facts, others: Sequence[Answer]) -> Iterator[Finding]:
    """Packets leave by the route, whichever interface has the address; large ones may be lost."""
    network = facts.network
    for other in others:
        way = network.leaves_by.get(other.node)
        has_it = answer.engine_address in network.addresses
        if has_it and way not in (None, "lo", network.interface):
            yield warning(
                "link",
                f"What it sends to {other.node} leaves by {way}, not by {network.interface}, which "
                "has the address that engines use.",
                f"Both are in one network: leave {way} out of it, or give its route the higher "
                "metric.",
            )
        its = other.facts.network.mtu if other.facts else None
        if network.mtu and its and network.mtu > its:
            yield warning(
                "link",
                f"Its packets may have {network.mtu} bytes (MTU of {network.interface}), those of "
                f"{other.node} {its}: large ones may be lost, while SSH's greeting arrives.",
                f"Give all nodes and the switch one MTU, {its} for example.",
            )


def _lease(facts: Facts) -> Iterator[Finding]:
    """No warning: a reserved address, which is as it should be, looks the same from the node."""
    if facts.base.address_leased:
        yield ok(
            "link",
            "Its address comes by DHCP: reserve it in the router, inventory and firewall name it.",
        )


def _address(answer: Answer, facts: Facts, others: Sequence[Answer]) -> Iterator[Finding]:
    """WSL behind an address translation is told as such."""
    addresses = facts.network.addresses
    own = [address for address in sorted(addresses) if not is_loopback(address)]
    if is_loopback(answer.engine_address):
        if others:
            yield problem(
                "ports",
                f"{answer.engine_address} is no address for other nodes: it leads each of them to "
                "itself.",
                f"Set `herd_cluster_address` of {answer.node} in the inventory to an address of "
                f"its own: {', '.join(own) or 'it has none'}.",
            )
    elif facts.wsl is None and addresses and not own:
        yield problem(
            "ports",
            "It has no IPv4 address, and engines know no other kind.",
            "Give the nodes' network IPv4 addresses, by DHCP or by hand.",
        )
    elif facts.wsl is None and addresses and answer.engine_address not in addresses:
        yield problem(
            "ports",
            f"None of its interfaces has {answer.engine_address}, by which engines of other nodes "
            f"look for it; it has {', '.join(own)}.",
            "Set `herd_cluster_address` of this node in the inventory to an address of its own.",
        )


def is_loopback(address: str) -> bool:
    """Whether an address leads each machine to itself."""
    return address.startswith("127.") or address in ("localhost", "::1")


def _peers(facts: Facts, others: Sequence[Answer]) -> Iterator[Finding]:
    """Their SSH alone is tried: engines' ports are never touched, that can end a worker.

    A node that told nothing is a finding of its own and is not repeated by all others. Who answers
    must be that node: another machine may have its address in the network that this one is in.
    """
    network = facts.network
    asked = [other for other in others if other.facts is not None and other.node in network.peers]
    itself = [other for other in asked if is_loopback(other.engine_address)]
    told = [other for other in asked if other not in itself]
    missed = [other for other in told if network.peers[other.node] is not None]
    strange = [other for other in told if other not in missed and _is_another(other, facts)]
    for other in itself:
        yield ok(
            "ports",
            f"{other.node} was not reached: {other.engine_address} leads back to this node.",
        )
    for other in strange:
        yield problem(
            "ports",
            f"At {other.engine_address} this node reaches another machine than {other.node}: its "
            f"host key is none of {other.node}'s.",
            "Two machines may have that address, or the nodes are in different networks: set "
            "`herd_cluster_address` of each to its address in the one that they share.",
        )
    for other in missed:
        yield problem(
            "ports",
            f"{other.node} is not reached from here at {other.engine_address}: "
            f"{network.peers[other.node]}.",
            "Look at both nodes' firewalls and at `herd_cluster_address`: all nodes must be in "
            "one network.",
        )
    busy = [str(port) for port in network.listening if is_engine_port(port)]
    used = f"engines' ports in use: {', '.join(busy)}" if busy else "no engine's port is in use"
    reached = [other.node for other in told if other not in missed and other not in strange]
    if reached:
        yield ok(
            "ports",
            f"Reaches SSH of {', '.join(reached)}; whether engines' ports are open to it was not "
            f"tried; {used}.",
        )
    else:
        yield ok("ports", f"{used[0].upper()}{used[1:]}.")


def _is_another(other: Answer, facts: Facts) -> bool:
    """Whether the host key that answered is none of that node's, as far as both are known."""
    shown = facts.network.peer_keys.get(other.node)
    known = other.facts.network.host_keys if other.facts else ()
    return bool(shown and known) and shown not in known
