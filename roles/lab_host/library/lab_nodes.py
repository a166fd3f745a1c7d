"""Ansible module: the nodes of the lab, all at once."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_boot import wait_for_boot
from ansible.module_utils.lab_emulation import unregister
from ansible.module_utils.lab_inotify import refuse_too_many
from ansible.module_utils.lab_leftovers import (
    remove_dead_bridge,
    remove_firewall_chains,
    remove_mounts,
)
from ansible.module_utils.lab_link import Shape, host_devices, shape_link
from ansible.module_utils.lab_podman import (
    Container,
    LabError,
    NodeSpec,
    containers,
    create_network,
    network_subnets,
    process_ids,
    remove,
    run,
    start_new,
)

DOCUMENTATION = """
module: lab_nodes
short_description: Run or remove the virtual nodes of the lab
description:
  - Makes, repairs, limits and shapes the nodes, in parallel, and reads their host keys.
  - Removes nodes that are too many; with state absent all that the lab put on the machine.
options:
  state: {type: str, choices: [present, absent], default: present, description: The wanted state.}
  kinds: {type: list, elements: str, description: "Of each node, release, architecture and GPU."}
  images: {type: dict, default: {}, description: Kind to the image of such nodes.}
  prefix: {type: str, default: pi, description: Beginning of the names.}
  network: {type: str, required: true, description: Name of the network.}
  subnet: {type: str, required: true, description: Address range of the network.}
  link_mbit: {type: int, default: 1000, description: Rate of each link, each way.}
  memory_mib: {type: int, default: 2048, description: Memory limit of a node.}
  cpus: {type: float, default: 1, description: CPU limit of a node.}
  pids: {type: int, default: 2000, description: Process limit of a node.}
  different: {type: dict, default: {}, description: "Of single nodes, other limits by name."}
  architecture: {type: str, description: Of this machine; nodes of another are emulated.}
  board: {type: path, description: Folder with cpuinfo and firmware that emulated nodes show.}
  tmpfs: {type: dict, default: {}, description: Folders to mount as small file systems in memory.}
  purge_images: {type: bool, default: false, description: With state absent, remove the images.}
author: llama-herd
"""

T = TypeVar("T")
R = TypeVar("R")
FIRST_HOST = 10
HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"


def owns(address: str) -> bool:
    """Whether this machine has an address; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


class Lab:
    """The lab as requested, and the way there from any state."""

    def __init__(self, params: dict[str, Any], *, check_mode: bool) -> None:
        network = ipaddress.IPv4Network(params["subnet"])
        self.network: str = params["network"]
        self.subnet: str = params["subnet"]
        self.gateway = str(network[1])
        self.link_mbit: int = params["link_mbit"]
        self.different: dict[str, dict[str, Any]] = params["different"]
        self.check_mode = check_mode
        self.changed = False
        self.architecture: str = params["architecture"]
        kinds: list[str] = params["kinds"] or []
        self.releases = [kind.split()[0] for kind in kinds]
        self.gpus = [kind.split()[2] for kind in kinds]
        self.specs = [
            self._spec(params, network, number, kind) for number, kind in enumerate(kinds, start=1)
        ]

    def _spec(
        self, params: dict[str, Any], network: ipaddress.IPv4Network, number: int, kind: str
    ) -> NodeSpec:
        architecture = kind.split()[1]
        is_emulated = architecture != self.architecture
        name = f"{params['prefix']}{number}"
        limits = params | self.different.get(name, {})
        return NodeSpec(
            name=name,
            address=str(network[FIRST_HOST + number]),
            image=params["images"][kind],
            network=self.network,
            memory_mib=int(limits["memory_mib"]),
            cpus=float(limits["cpus"]),
            pids=params["pids"],
            tmpfs=params["tmpfs"],
            emulates=architecture if is_emulated else None,
            board=params["board"] if is_emulated else "",
        )

    def shape_of(self, spec: NodeSpec) -> Shape:
        """The link of a node."""
        return Shape(int(self.different.get(spec.name, {}).get("link_mbit", self.link_mbit)))

    def ours(self) -> list[Container]:
        """The containers of this lab."""
        return [one for one in containers() if one.lab == self.network]

    def bring_up(self) -> dict[str, Any]:
        """Make what is found into what is asked for; what the controller must know of it."""
        self._refuse_strangers()
        self._remove_unwanted()
        self._have_network()
        self._have_all_running()
        if self.check_mode and self.changed:
            return {}
        return self._describe()

    def _refuse_strangers(self) -> None:
        wanted = {spec.name for spec in self.specs}
        for one in containers():
            if one.name in wanted and one.lab != self.network:
                raise LabError(
                    f"a container named {one.name} is there already and is not the lab's; "
                    f"remove it (podman rm -f {one.name}) or choose other names "
                    "(lab_prefix, see docs/lab.md)"
                )

    def _remove_unwanted(self) -> None:
        wanted = {spec.name: spec.digest() for spec in self.specs}
        usable = {"running", "paused", "exited", "stopped"}
        unwanted = [
            one.name
            for one in self.ours()
            if wanted.get(one.name) != one.spec or one.state not in usable
        ]
        self._do(lambda: remove(unwanted), needed=bool(unwanted))

    def _have_network(self) -> None:
        subnets = network_subnets(self.network)
        if subnets == [self.subnet]:
            return
        ours = self.ours()
        names = [one.name for one in ours]
        self._do(lambda: remove(names), needed=bool(names))
        self._do(
            lambda: run(
                "podman", "network", "rm", self.network, doing="removing the lab's old network"
            ),
            needed=subnets is not None,
        )
        if owns(self.gateway) and not self.check_mode:
            self.changed |= remove_dead_bridge(self.gateway)
        if owns(self.gateway):
            raise LabError(
                f"this machine already uses {self.gateway}, the address that the lab needs; "
                "choose another range (lab_subnet, see docs/lab.md)"
            )
        self._do(lambda: create_network(self.network, self.subnet))

    def _have_all_running(self) -> None:
        states = {one.name: one.state for one in self.ours()}
        if "running" in states.values() and not owns(self.gateway):
            # The bridge was taken away below running nodes: each must be plugged in again.
            running = [name for name, state in states.items() if state in {"running", "paused"}]
            self._do(lambda: self._replug(running))
        paused = [name for name, state in states.items() if state == "paused"]
        self._do(lambda: self._podman("unpause", paused), needed=bool(paused))
        stopped = [name for name, state in states.items() if state in {"exited", "stopped"}]
        missing = [spec for spec in self.specs if spec.name not in states]
        refuse_too_many(len(stopped) + len(missing))
        self._do(lambda: self._podman("start", stopped), needed=bool(stopped))
        self._do(lambda: self._in_parallel(start_new, missing), needed=bool(missing))

    def _describe(self) -> dict[str, Any]:
        pids = process_ids([spec.name for spec in self.specs])
        devices = host_devices()

        def settle(spec: NodeSpec) -> str:
            return self._settle(spec, pids[spec.name], devices)

        keys = self._in_parallel(settle, self.specs)
        nodes = [
            {"name": spec.name, "address": spec.address, "host_key": key}
            for spec, key in zip(self.specs, keys, strict=True)
        ]
        lab = {
            "network": self.network,
            "gateway": self.gateway,
            "nodes": [
                {
                    "name": spec.name,
                    "link_mbit": self.shape_of(spec).mbit,
                    "memory_mib": spec.memory_mib,
                    "cpus": spec.cpus,
                    "address": spec.address,
                    "release": release,
                    "architecture": spec.emulates or self.architecture,
                    "emulated": spec.emulates is not None,
                    "gpu": gpu,
                }
                for spec, release, gpu in zip(self.specs, self.releases, self.gpus, strict=True)
            ],
        }
        return {"nodes": nodes, "lab": lab}

    def _settle(self, spec: NodeSpec, pid: int, devices: dict[int, str]) -> str:
        """Wait until a node has booted, shape its link, read its host key."""
        try:
            shaped = shape_link(spec.name, pid, self.shape_of(spec), devices)
        except LabError:
            self._replug([spec.name])
            pid = process_ids([spec.name])[spec.name]
            shaped = shape_link(spec.name, pid, self.shape_of(spec), host_devices())
        self.changed |= shaped
        wait_for_boot(spec.name, pid)
        return Path(f"/proc/{pid}/root/{HOST_KEY}").read_text(encoding="ascii").strip()

    def _replug(self, names: list[str]) -> None:
        self.changed = True
        self._podman("stop", names)
        self._podman("start", names)

    def _podman(self, verb: str, names: list[str]) -> None:
        grace = ["--time=0"] if verb == "stop" else []
        self._in_parallel(
            lambda name: run("podman", verb, *grace, name, doing=f"podman {verb} of node {name}"),
            names,
        )

    def _in_parallel(self, function: Callable[[T], R], items: list[T]) -> list[R]:
        with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
            return list(pool.map(function, items))

    def _do(self, action: Callable[[], object], *, needed: bool = True) -> None:
        if not needed:
            return
        self.changed = True
        if not self.check_mode:
            action()

    def take_down(self, *, purge_images: bool) -> None:
        """Remove nodes, network, and what Podman leaves when nothing else runs on it."""
        ours = self.ours()
        names = [one.name for one in ours]
        self._do(lambda: remove(names), needed=bool(names))
        self._do(
            lambda: run(
                "podman", "network", "rm", "--force", self.network, doing="removing the network"
            ),
            needed=network_subnets(self.network) is not None,
        )
        if not self.check_mode:
            self.changed |= remove_dead_bridge(self.gateway)
        if purge_images:
            self._purge_images()
        left = containers()
        # Another lab may be coming up, and have no node yet but images that are being built.
        was_emulated = any(one.emulates for one in ours)
        if not self.check_mode and was_emulated and not any(one.emulates for one in left):
            self.changed |= unregister()
        if not self.check_mode and not any(one.state == "running" for one in left):
            self.changed |= remove_firewall_chains()
            self.changed |= remove_mounts()

    def _purge_images(self) -> None:
        listed = run(
            "podman",
            "images",
            "--quiet",
            "--filter=reference=localhost/llama-herd/*",
            doing="listing the lab's images",
        )
        images = sorted(set(listed.split()))
        self._do(
            lambda: run("podman", "rmi", "--force", *images, doing="removing the lab's images"),
            needed=bool(images),
        )


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "kinds": {"type": "list", "elements": "str"},
            "images": {"type": "dict", "default": {}},
            "prefix": {"type": "str", "default": "pi"},
            "network": {"type": "str", "required": True},
            "subnet": {"type": "str", "required": True},
            "link_mbit": {"type": "int", "default": 1000},
            "memory_mib": {"type": "int", "default": 2048},
            "cpus": {"type": "float", "default": 1},
            "pids": {"type": "int", "default": 2000},
            "different": {"type": "dict", "default": {}},
            "architecture": {"type": "str"},
            "board": {"type": "path"},
            "tmpfs": {"type": "dict", "default": {}},
            "purge_images": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ("kinds", "images", "architecture"))],
        supports_check_mode=True,
    )
    lab = Lab(module.params, check_mode=module.check_mode)
    try:
        if module.params["state"] == "present":
            module.exit_json(**lab.bring_up(), changed=lab.changed)
        lab.take_down(purge_images=module.params["purge_images"])
    except LabError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=lab.changed)


if __name__ == "__main__":
    main()
