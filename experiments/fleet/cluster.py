"""The machines of a run: what the inventory says about them and what they report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from collect.plugs import Electricity
from core.record import Scalar

CLUSTER = "cluster"
"""The inventory's group of nodes: all of them are in it."""
Backend = Literal["vulkan", "cuda"]
"""The interface by which a program computes on a GPU."""
GpuKind = Literal["discrete", "integrated", "virtual", "software", "other"]


@dataclass(frozen=True, slots=True)
class Installation:
    """What a role left on a node about an engine (`install.json`).

    Attributes:
        installed: False when the role could not get its source; `reason` then says why.
        version: version or commit.
        protocol: version of the protocol between its processes; None if it has none.
        binary_sha256: of each program, by name.
        arguments: the options that its record lets its programs be started with; None for any.
        gpu: the interface of its programs for a GPU; None where it computes on CPUs only.
        details: the rest of the stamp (flags, compiler, method …), for provenance.
    """

    engine: str
    installed: bool
    reason: str | None = None
    version: str | None = None
    protocol: str | None = None
    binary_sha256: Mapping[str, str] = field(default_factory=dict)
    arguments: frozenset[str] | None = None
    gpu: Backend | None = None
    details: Mapping[str, Scalar | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gpu:
    """The GPU that a node's engines use by one interface, as the node said when it was asked.

    Attributes:
        backend: the interface.
        index: its place among the GPUs that this interface shows.
        name: as its driver calls it; "" where none was found.
        kind: `software` where the CPU computes what a GPU would.
        memory_mib: its memory; 0 if unknown.
        free_mib: what was free of it.
        driver: its version, as the driver writes it.
        reason: why nothing can be computed on it, a clause; None if it works.
    """

    backend: Backend
    index: int
    name: str
    kind: GpuKind
    memory_mib: int
    free_mib: int
    driver: str
    reason: str | None = None

    @property
    def is_software(self) -> bool:
        """Whether it is none: the CPU computes."""
        return self.kind == "software"

    @property
    def has_no_memory(self) -> bool:
        """Whether what it takes is taken from the RAM."""
        return self.kind in {"software", "integrated"}


class Secret:
    """A password: only `reveal` returns it, so that no message, log or file has it by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The password itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How Ansible would call OpenSSH for a node, beyond host, port, user and key.

    Attributes:
        executable: the program.
        arguments: options that are passed to it: Ansible's ssh_args, ssh_common_args and
            ssh_extra_args, in this order, split as a shell splits them.
        password: to log in with; None where keys do it.
    """

    executable: str = "ssh"
    arguments: tuple[str, ...] = ()
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the inventory.

    Attributes:
        name: inventory name.
        address: where SSH connects to.
        engine_address: address that engines use among themselves (IPv4).
        connection: `local` where the node is the controller itself, which needs no SSH.
        ssh: how OpenSSH is called to reach it.
        become_method: how Ansible becomes root there.
        become_exe: the program for that, where it is not the method's own.
        forwarded_from: network from which another machine, which has that address, forwards
            connections to this node; None where the node has it itself.
        cores: CPU cores; 0 until the node was asked.
        memory_mib: RAM that it may use.
        available_mib: free memory when the node was asked; 0 if it does not report it.
        groups: names of the inventory's groups that it is in.
        herd_gpu: how the inventory says that engines use its GPU; None for not at all.
        gpu_index: which of its GPUs they use, from 0.
        gpus: the GPU behind each interface that its engines have.
        facts: provenance facts.
        engines: engine name to installation.
        lab_link_mbit: rate of its link where it is a node of the lab; None for any other machine.
        model_sha256: file on the node (below the models folder) to sha256, verified.
        away: why it takes no part, a sentence or more; None if it does.
    """

    name: str
    address: str
    engine_address: str
    user: str | None = None
    port: int = 22
    key_file: str | None = None
    known_hosts: str | None = None
    connection: Literal["ssh", "local"] = "ssh"
    ssh: SshSettings = field(default_factory=SshSettings)
    become_method: str = "sudo"
    become_exe: str | None = None
    forwarded_from: str | None = None
    lab_link_mbit: int | None = None
    groups: frozenset[str] = frozenset()
    herd_gpu: Backend | None = None
    gpu_index: int = 0
    cores: int = 0
    memory_mib: int = 0
    available_mib: int = 0
    facts: Mapping[str, Scalar | None] = field(default_factory=dict)
    engines: Mapping[str, Installation] = field(default_factory=dict)
    gpus: Mapping[Backend, Gpu] = field(default_factory=dict)
    model_sha256: Mapping[str, str] = field(default_factory=dict)
    away: str | None = None

    @property
    def listen_address(self) -> str:
        """Address that a worker listens on."""
        return "0.0.0.0" if self.forwarded_from else self.engine_address  # noqa: S104 - behind NAT


HTTP_PORT = 80
PLUG_USER = "admin"
"""Shelly of the second generation has no other user; it is Tasmota's default, too."""
PlugKind = Literal["shelly_gen1", "shelly_gen2", "shelly_pm", "tasmota"]
"""Which interface a smart plug has."""


@dataclass(frozen=True, slots=True)
class Plug:
    """A smart plug, which counts what it feeds.

    Attributes:
        host: its address or name.
        channel: which of its meters, from 0.
        nodes: names of the nodes that it feeds.
        feeds_switch: whether it feeds the network switch.
        user: to log in as, where it has a password.
        password: None where it asks for none.
    """

    name: str
    kind: PlugKind
    host: str
    port: int = HTTP_PORT
    channel: int = 0
    nodes: tuple[str, ...] = ()
    feeds_switch: bool = False
    user: str = PLUG_USER
    password: Secret | None = None


LEFT_OUT = "it is left out (`--without`)"
"""Why a node is away that the user left out; it is not searched for."""
CONTROLLER = Node(name="controller", address="", engine_address="")
"""This machine, as what asks APIs is recorded; it belongs to no cluster."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes in the inventory's order; the first is the root.

    Attributes:
        plugs: the smart plugs that feed them.
        electricity: what it costs; None where the inventory does not say.
    """

    nodes: tuple[Node, ...]
    plugs: tuple[Plug, ...] = ()
    electricity: Electricity | None = None

    @property
    def root(self) -> Node:
        """The node that runs root processes and stores the models."""
        return self.nodes[0]
