"""Link, addresses, and whether nodes reach each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.doctor.checks import firewalls
from experiments.doctor.checks.ports import is_engine_port
from experiments.doctor.facts import Facts
from experiments.doctor.finding import Finding, NodeAnswer, ok, problem, warning

USUAL_MBIT = 1000


def check(answer: NodeAnswer, facts: Facts, others: Sequence[NodeAnswer]) -> Iterator[Finding]:
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
        f"Engines communicate through {facts.base.nic}, a tunnel (VPN): each packet is wrapped "
        "twice, and its route may be long.",
        "If the nodes share a local network, set `herd_cluster_address` to the address in that "
        "network.",
    )


def _link(facts: Facts) -> Finding:
    base = facts.base
    if base.wireless:
        return warning(
            "link",
            f"Engines communicate over Wi-Fi ({base.nic}): each token waits for the network "
            "several times, for a time that varies from moment to moment.",
            "Connect a cable and set `herd_cluster_address` to its address.",
        )
    if facts.wsl is not None:
        return ok(
            "link",
            f"{base.nic}, provided by Windows: cable or Wi-Fi, and the speed, are not visible "
            "here.",
        )
    if base.wireless is None:
        return ok(
            "link",
            f"{base.nic} is not a device of this system: whether it uses a cable, and how fast "
            "it is, is not visible here.",
        )
    if base.link_mbit is None:
        return ok("link", f"{base.nic}, wired; its speed is not reported.")
    if base.link_mbit < USUAL_MBIT:
        return warning(
            "link",
            f"{base.nic} runs at {base.link_mbit} Mbit/s; Gigabit is usual.",
            "Try another cable and another port of the switch; a Raspberry Pi 3 or older is no "
            "faster.",
        )
    return ok("link", f"{base.nic}, wired, {base.link_mbit} Mbit/s.")


def _way(answer: NodeAnswer, facts: Facts, others: Sequence[NodeAnswer]) -> Iterator[Finding]:
    """Packets leave by the route, whichever interface has the address; large ones may be lost."""
    network = facts.network
    for other in others:
        way = network.leaves_by.get(other.node)
        has_it = answer.engine_address in network.addresses
        if has_it and way not in (None, "lo", network.interface):
            yield warning(
                "link",
                f"Traffic to {other.node} leaves through {way}, not through "
                f"{network.interface}, which has the address that engines use.",
                f"Both are in the same network: remove {way} from it, or give its route the "
                "higher metric.",
            )
        its = other.facts.network.mtu if other.facts else None
        if network.mtu and its and network.mtu > its:
            yield warning(
                "link",
                f"Its packets may have {network.mtu} bytes (MTU of {network.interface}), those "
                f"of {other.node} {its}: large packets may be lost, even though SSH's greeting "
                "arrives.",
                f"Give all nodes and the switch the same MTU, for example {its}.",
            )


def _lease(facts: Facts) -> Iterator[Finding]:
    """No warning: a reserved address, which is as it should be, looks the same from the node."""
    if facts.base.address_leased:
        yield ok(
            "link",
            "Its address is assigned by DHCP: reserve it in the router, because inventory and "
            "firewall contain it.",
        )


def _address(answer: NodeAnswer, facts: Facts, others: Sequence[NodeAnswer]) -> Iterator[Finding]:
    """WSL behind an address translation is reported as such."""
    addresses = facts.network.addresses
    own = [address for address in sorted(addresses) if not is_loopback(address)]
    if is_loopback(answer.engine_address):
        if others:
            yield problem(
                "ports",
                f"{answer.engine_address} cannot be used by other nodes: each of them reaches "
                "itself by it.",
                f"Set `herd_cluster_address` of {answer.node} in the inventory to one of the "
                f"node's addresses: {', '.join(own) or 'it has none'}.",
            )
    elif facts.wsl is None and addresses and not own:
        yield problem(
            "ports",
            "It has no IPv4 address, and engines support no other kind.",
            "Give the nodes' network IPv4 addresses, by DHCP or manually.",
        )
    elif facts.wsl is None and addresses and answer.engine_address not in addresses:
        yield problem(
            "ports",
            f"None of its interfaces has {answer.engine_address}, the address where engines of "
            f"other nodes expect it; it has {', '.join(own)}.",
            "Set `herd_cluster_address` of this node in the inventory to one of the node's "
            "addresses.",
        )


def is_loopback(address: str) -> bool:
    """Whether an address leads each machine to itself."""
    return address.startswith("127.") or address in ("localhost", "::1")


def _peers(facts: Facts, others: Sequence[NodeAnswer]) -> Iterator[Finding]:
    """Their SSH alone is tried: engines' ports are never touched, that can end a worker.

    A silent node has a separate finding, which the others do not repeat. Who answers
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
            f"{other.node} was not reached: {other.engine_address} is an address of this node "
            "itself.",
        )
    for other in strange:
        yield problem(
            "ports",
            f"At {other.engine_address}, this node reaches a machine other than {other.node}: "
            f"its host key is not one of {other.node}'s.",
            "Two machines may have that address, or the nodes are in different networks: set "
            "each node's `herd_cluster_address` to its address in the network that they share.",
        )
    for other in missed:
        yield problem(
            "ports",
            f"{other.node} cannot be reached from here at {other.engine_address}: "
            f"{network.peers[other.node]}.",
            "Check both nodes' firewalls and `herd_cluster_address`: all nodes must be in one "
            "network.",
        )
    busy = [str(port) for port in network.listening if is_engine_port(port)]
    used = f"engines' ports in use: {', '.join(busy)}" if busy else "no engine's port is in use"
    reached = [other.node for other in told if other not in missed and other not in strange]
    if reached:
        yield ok(
            "ports",
            f"Reaches SSH of {', '.join(reached)}; whether the engines' ports are open to it "
            f"was not tested; {used}.",
        )
    else:
        yield ok("ports", f"{used[0].upper()}{used[1:]}.")


def _is_another(other: NodeAnswer, facts: Facts) -> bool:
    """Whether the host key that answered is none of that node's, as far as both are known."""
    shown = facts.network.peer_keys.get(other.node)
    known = other.facts.network.host_keys if other.facts else ()
    return bool(shown and known) and shown not in known
