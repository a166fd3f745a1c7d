"""Filter that says which engine addresses of a cluster cannot be: the runner's own judgement."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

SOURCE = Path(__file__).resolve().parents[3] / "experiments" / "fleet" / "addresses.py"
WAY = (
    "ansible_connection",
    "ansible_ssh_args",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
)


def addresses() -> ModuleType:
    """`experiments.fleet.addresses`, also where Ansible uses its own Python."""
    name = "herd_addresses"
    if name not in sys.modules:
        sys.modules[name] = ModuleType(name)
        SourceFileLoader(name, str(SOURCE)).exec_module(sys.modules[name])
    return sys.modules[name]


def wrong_addresses(names: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences about nodes that others cannot reach, or that have one address."""

    def place(name: str) -> Any:  # noqa: ANN401 - a class of that module
        known = hostvars[name]
        cluster = known.get("herd_cluster_address")
        return addresses().NodeAddress(
            name=name,
            ssh=str(known.get("ansible_ssh_host") or known.get("ansible_host") or name),
            cluster=str(cluster) if cluster else None,
            port=int(known.get("ansible_ssh_port") or known.get("ansible_port") or 22),
            way=tuple(str(known.get(variable)) for variable in WAY),
        )

    wrong: list[str] = addresses().refusals([place(name) for name in names])
    return wrong


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names in templates."""
        return {"herd_wrong_addresses": wrong_addresses}
