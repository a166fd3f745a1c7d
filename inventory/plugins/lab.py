"""Inventory plugin: exactly the virtual nodes that are up on this machine."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template

DOCUMENTATION = """
name: lab
short_description: The virtual nodes that are up on this machine
description:
  - Reads what playbooks/lab.yml wrote down, and lists its nodes only while this machine owns the
    address of the lab's gateway. No packet is sent.
  - While the lab is down there is no host, C(lab_down) is true for C(all), and there is an empty
    group of that name.
options:
  plugin: {description: Always C(lab)., required: true, choices: [lab]}
  architecture:
    description: Only nodes of this architecture, as Debian names it (C(amd64), C(arm64)).
    default: ""
  state: {description: "What the lab wrote, relative to the project.", default: .lab/state.json}
"""

GROUPS = ("lab", "cluster")
NONE_OF_THIS_KIND = "The lab has no {} node. One of each kind: fab lab-up --nodes 2 --arm64 1"
LAB_IS_DOWN = "The lab is down. Bring it up with: fab lab-up --nodes 8"


def owns(address: str) -> bool:
    """Whether this machine has an address; binding a UDP socket sends no packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def read_state(path: Path) -> dict[str, Any] | None:
    """What is up; None while the lab is down.

    Raises:
        AnsibleParserError: the file is there but is not what the lab writes.
    """
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        up = owns(state["gateway"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError) as error:
        raise AnsibleParserError(
            f"{path} is not what the lab writes ({error}); run: fab lab-down, then fab lab-up"
        ) from error
    return state if up else None


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc] # Ansible ships no types
    """Hosts `pi1`, `pi2`, … in the groups `lab` and `cluster`."""

    NAME = "lab"

    def verify_file(self, path: str) -> bool:
        """Whether a file is this plugin's configuration."""
        return super().verify_file(path) and Path(path).name in {"lab.yml", "lab_arm64.yml"}

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:  # noqa: ANN401, FBT001, FBT002  # Ansible's signature
        """Fill the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        project = Path(path).resolve().parent.parent
        state = read_state(project / self.get_option("state"))
        for group in GROUPS:
            self.inventory.add_group(group)
        if state is None:
            self.inventory.set_variable("all", "lab_down", value=True)
            # An empty group, because `ansible-inventory --list` shows variables of hosts alone.
            self.inventory.add_group("lab_down")
            self.display.warning(LAB_IS_DOWN)
            return
        wanted = self.get_option("architecture")
        nodes = [n for n in state["nodes"] if wanted in {"", n.get("architecture")}]
        if not nodes:
            raise AnsibleParserError(NONE_OF_THIS_KIND.format(wanted))
        for node in nodes:
            self._add(node["name"], node["address"], state | node)
            if node.get("gpu", "none") != "none":
                self.inventory.set_variable(
                    node["name"], "herd_gpu", trust_as_template(node["gpu"])
                )

    def _add(self, name: str, address: str, state: dict[str, Any]) -> None:
        """Add a node; `state` is what the lab wrote, with what this node has instead."""
        for group in GROUPS:
            self.inventory.add_host(name, group=group)
        # Ansible marks what it does not trust, and the mark shows in `ansible-inventory --list`.
        self.inventory.set_variable(name, "ansible_host", trust_as_template(address))
        self.inventory.set_variable(name, "lab_gateway", trust_as_template(state["gateway"]))
        for key in ("link_mbit", "memory_mib", "cpus"):
            self.inventory.set_variable(name, f"lab_{key}", state[key])
