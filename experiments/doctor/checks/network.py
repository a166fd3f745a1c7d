"""Link, addresses, and whether nodes reach each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.doctor.facts import Facts
from experiments.doctor.finding import Answer, Finding, ok, problem, warning

ENGINE_PORTS = (range(9990, 10000), range(50052, 50062))
"""As role node_base opens them (`node_base_engine_ports`)."""
USUAL_MBIT = 1000


def is_engine_port(port: int) -> bool:
    """Whether engines of other nodes talk to it."""
    return any(port in ports for ports in ENGINE_PORTS)


def check(answer: Answer, facts: Facts, others: Sequence[Answer]) -> Iterator[Finding]:
    """The link, then the ports."""
    yield _link(facts)
    yield from _lease(facts)
    yield from _address(answer, facts)
    yield from _peers(facts, others)
    if facts.network.ufw:
        yield warning(
            "ports",
            "The firewall ufw is on: it drops what it was not told of, engines' ports, too.",
            "For each other node: sudo ufw allow from <its address> to any port 9990:9999,"
            "50052:50061 proto tcp",
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
            f"{base.nic} is what Windows lends: whether Windows is connected by cable or by Wi-Fi, "
            "and how fast, cannot be seen from here (in PowerShell: Get-NetAdapter -Physical).",
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
            "Try another cable and another port of the switch.",
        )
    return ok("link", f"{base.nic}, wired, {base.link_mbit} Mbit/s.")


def _lease(facts: Facts) -> Iterator[Finding]:
    """No warning: a reserved address, which is as it should be, looks the same from the node."""
    if facts.base.address_leased:
        yield ok(
            "link",
            "Its address comes by DHCP: reserve it in the router, inventory and firewall name it.",
        )


def _address(answer: Answer, facts: Facts) -> Iterator[Finding]:
    """WSL behind an address translation is told as such."""
    addresses = facts.network.addresses
    if facts.wsl is None and addresses and answer.engine_address not in addresses:
        yield problem(
            "ports",
            f"None of its interfaces has {answer.engine_address}, by which engines of other nodes "
            f"look for it; it has {', '.join(sorted(addresses))}.",
            "Set `herd_cluster_address` of this node in the inventory to an address of its own.",
        )


def _peers(facts: Facts, others: Sequence[Answer]) -> Iterator[Finding]:
    """SSH stands for all ports: engines' ports are never touched, that can end a worker.

    A node that told nothing is a finding of its own and is not repeated by all others.
    """
    network = facts.network
    told = [other for other in others if other.facts is not None and other.node in network.peers]
    missed = [other for other in told if network.peers[other.node] is not None]
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
    if told and not missed:
        names = ", ".join(other.node for other in told)
        yield ok("ports", f"Reaches {names} (SSH stands for all ports); {used}.")
    else:
        yield ok("ports", f"{used[0].upper()}{used[1:]}.")
