"""The commands that set a node right, with all that they need to do anything.

Petals and NVIDIA's packages are for machines that the inventory names for them. The commands name
their node and its wishes themselves, so that each works unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

from experiments.doctor.facts import Facts
from experiments.doctor.finding import NodeAnswer
from experiments.fleet import commands

DRIVER = "580.126.20"
TOOLKIT = "12.8.1"
"""Versions that NVIDIA's repositories have for all systems that role cuda knows, as
inventory/example.yml names them."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Commands for one node.

    Attributes:
        node: its name in the inventory.
        password: False where becoming root was seen to ask for none; None where only the inventory
        knows.
        gpu: whether it has one by NVIDIA.
    """

    node: str
    password: bool | None
    gpu: bool

    @classmethod
    def on(cls, answer: NodeAnswer, facts: Facts) -> Advice:
        """For a node that sent its facts."""
        asks_nothing = facts.root is not None and (
            facts.root.is_root or facts.root.asks == "nothing"
        )
        return cls(answer.node, False if asks_nothing else None, facts.gpu.is_there)

    def petals(self) -> str:
        """Install Petals in its own environment, for the GPU where there is one."""
        variables: dict[str, object] = {"herd_petals": True}
        if self.gpu:
            variables["petals_variant"] = "cuda"
        return self._provision("petals", variables)

    def driver(self) -> str:
        """NVIDIA's driver."""
        return self._provision(
            "cuda",
            {"cuda_hosts": self.node, "cuda_driver": True, "cuda_driver_version": DRIVER},
        )

    def toolkit(self) -> str:
        """CUDA's compiler and libraries."""
        return self._provision(
            "cuda",
            {"cuda_hosts": self.node, "cuda_toolkit": True, "cuda_toolkit_version": TOOLKIT},
        )

    def engines(self) -> str:
        """All of the node: its engines as the inventory now says, and what their units may see."""
        return commands.provision(limit=[self.node], password=self.password)

    def _provision(self, tag: str, variables: dict[str, object]) -> str:
        return commands.provision(
            tag, limit=[self.node], variables=variables, password=self.password
        )
