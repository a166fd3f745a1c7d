"""A machine on its way into the inventory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.errors import HerdError
from experiments.adopt.asked import Asked, is_usable_ipv4, name_nodes
from experiments.adopt.fleet import Fleet, Newcomer
from experiments.adopt.keys import HostKey
from experiments.adopt.look import Inspection
from experiments.fleet import commands
from experiments.fleet.cluster import CLUSTER, Node
from experiments.nodes.ssh.rules import SSH_PORT

ENGINES_ADDRESS = "herd_cluster_address"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that was named.

    Attributes:
        asked: as it was named.
        node: as Ansible reads it; of the inventory where it is there already.
        newcomer: what is to be written; None where it is there already.
    """

    asked: Asked
    node: Node
    newcomer: Newcomer | None

    @property
    def place(self) -> str:
        """User, address and port, for people."""
        host = f"[{self.node.address}]" if ":" in self.node.address else self.node.address
        user = f"{self.node.user}@" if self.node.user else ""
        return f"{user}{host}{'' if self.node.port == SSH_PORT else f':{self.node.port}'}"

    def passed_over(self, key: str | None) -> str:
        """What was asked for and does not count, because the inventory has the machine already."""
        told = {
            "ansible_user": (self.asked.user, self.node.user),
            "ansible_ssh_private_key_file": (key, self.node.key_file),
            "the name": (self.asked.name, self.node.name),
        }
        other = [what for what, (asked, is_there) in told.items() if asked not in (None, is_there)]
        if self.newcomer is not None or not other:
            return ""
        return (
            f"the inventory has it as {self.node.name}; change {' and '.join(other)} there yourself"
        )

    def seen(self, look: Inspection) -> Machine:
        """The machine with what was seen of it."""
        if self.newcomer is None:
            return self
        variables = {**self.newcomer.variables, **self._engines_address(look)}
        return replace(
            self, newcomer=replace(self.newcomer, variables=variables, groups=look.groups)
        )

    def lacks_address(self, look: Inspection) -> bool:
        """Whether no IPv4 address is known at which other nodes could reach it."""
        reached = {**self._engines_address(look)}.get(ENGINES_ADDRESS, self.node.engine_address)
        return self.newcomer is not None and not is_usable_ipv4(str(reached))

    def _engines_address(self, look: Inspection) -> Mapping[str, str]:
        """An address for engines where SSH's is none that they could use."""
        if is_usable_ipv4(self.node.address) or self.node.forwarded_from:
            return {}
        only = look.addresses[0] if len(look.addresses) == 1 else None
        address = only or self.node.engine_address
        return {ENGINES_ADDRESS: address} if is_usable_ipv4(address) else {}


def machines_of(fleet: Fleet, asked: Sequence[Asked], key: str | None) -> list[Machine]:
    """Each machine as Ansible will read it; those that the inventory has are its nodes.

    Args:
        fleet: the inventory.
        asked: machines of the command line.
        key: private key that the inventory is to name for the new ones.

    Raises:
        HerdError: a name is taken, or the inventory cannot be added to.
    """
    _refuse_those_elsewhere(fleet, asked)
    there = [_node_of(fleet, one) for one in asked]
    new = [one for one, node in zip(asked, there, strict=True) if node is None]
    newcomers = [
        Newcomer(name, _variables(one, key))
        for one, name in zip(new, name_nodes(new, fleet.names), strict=True)
    ]
    nodes = fleet.tried(fleet.with_newcomers(newcomers), newcomers) if newcomers else []
    pairs = iter(zip(nodes, newcomers, strict=True))
    return [
        Machine(one, node, None) if node is not None else Machine(one, *next(pairs))
        for one, node in zip(asked, there, strict=True)
    ]


def _refuse_those_elsewhere(fleet: Fleet, asked: Sequence[Asked]) -> None:
    """Machines that the inventory has in other groups alone: they have a name and settings."""
    variables: Mapping[str, Mapping[str, object]] = fleet.listing.get("_meta", {}).get(
        "hostvars", {}
    )
    nodes = {node.name for node in fleet.nodes}
    for name, told in variables.items():
        place = (told.get("ansible_host", name), str(told.get("ansible_port", SSH_PORT)))
        for one in asked:
            if name not in nodes and place == (one.host, str(one.port or SSH_PORT)):
                raise HerdError(
                    f"{one.word}: {fleet.given} has it as {name}, but not in group {CLUSTER}. Add "
                    f"{name} to that group yourself, then adopt it again."
                )


def _node_of(fleet: Fleet, asked: Asked) -> Node | None:
    """The node of the inventory that was named, by its address or by its own name."""
    for node in fleet.nodes:
        same_port = asked.port is None or asked.port == node.port
        if same_port and asked.host.lower() == node.address.lower():
            return node
    is_plain = asked.port is None and asked.user is None and asked.name is None
    return next((node for node in fleet.nodes if is_plain and node.name == asked.host), None)


def _variables(asked: Asked, key: str | None) -> dict[str, str | int]:
    told: dict[str, str | int] = {"ansible_host": asked.host}
    if asked.port is not None:
        told["ansible_port"] = asked.port
    if asked.user is not None:
        told["ansible_user"] = asked.user
    if key is not None:
        told["ansible_ssh_private_key_file"] = key
    return told


def again_with(words: Sequence[str], key: str | None, keys: Sequence[HostKey] = ()) -> str:
    """The command that adopts these machines.

    Args:
        words: as they were given.
        key: private key to log in with.
        keys: host keys that it is to trust.
    """
    flags = ["--key", key] if key else []
    for host in keys:
        flags += ["--fingerprint", host.fingerprint]
    return commands.fab("adopt", *words, *flags)
