"""The firewall of engines' ports: looked at before anything is started."""

from __future__ import annotations

import hashlib
import os
import re

from herd_node import places, privileges
from herd_node.ground import RefusalError, content

TABLE = ("inet", "llama_herd")
REPAIR = (
    "restart it on the node (sudo systemctl restart llama-herd-firewall.service), or provision the "
    "node again"
)


class Firewall:
    """The table that lets only the cluster's nodes reach the ports of engines.

    The kernel is asked, not the unit that once loaded it: `nft flush ruleset`, with which Debian's
    own /etc/nftables.conf begins, takes the table away and no unit notices. Listing it costs a
    process, so it is done where the kernel's rules have changed since the last time.
    """

    def __init__(self) -> None:
        self._right_at: int | None = None

    def wanted(self) -> bool:
        """Return whether this node should have one."""
        return not os.path.exists(places.FIREWALL_OFF)

    def require(self) -> None:
        """Refuse if the kernel lacks the table that was loaded from its file."""
        if not self.wanted():
            return
        generation = privileges.ruleset_generation()
        if generation is not None and generation == self._right_at:
            return
        self._right_at = None
        self._compare()
        self._right_at = generation

    def require_for(self, port: int | None) -> None:
        """Refuse also if it does not guard a port on which an engine is to listen."""
        self.require()
        if port is None or not self.wanted():
            return
        ranges = re.search(
            r"tcp dport \{?([0-9, -]+)\}? jump engines", content(places.FIREWALL_LOADED)
        )
        if not ranges or not any(within(port, one) for one in ranges[1].split(",")):
            raise RefusalError(
                f"the firewall does not guard port {port}: add it to node_base_engine_ports, then "
                "provision the node again"
            )

    def _compare(self) -> None:
        loaded, _, wanted = content(places.FIREWALL_LOADED).partition("\n")
        if not loaded:
            raise RefusalError(f"the firewall of engines' ports was not loaded: {REPAIR}")
        if loaded != hashlib.sha256(content(places.FIREWALL).encode()).hexdigest():
            raise RefusalError(f"{places.FIREWALL} was changed after it had been loaded: {REPAIR}")
        told = privileges.asked("/usr/sbin/nft", "--stateless", "list", "table", *TABLE)
        if told.returncode != 0:
            raise RefusalError(f"the kernel has no table {TABLE[1]}, the firewall: {REPAIR}")
        if told.stdout.decode("utf-8", "replace") != wanted:
            raise RefusalError(f"the kernel's table {TABLE[1]} was changed: {REPAIR}")


def within(port: int, ports: str) -> bool:
    """Whether a port is one of `9990-9999`, or of `9990`."""
    first, _, last = ports.strip().partition("-")
    return int(first) <= port <= int(last or first)
