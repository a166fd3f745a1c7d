"""A lab of some tests' own: nodes, and an inventory that nobody else uses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from experiments.fleet.cluster import Cluster
from experiments.fleet.inventory import read_cluster
from experiments.fleet.lab import LabNode, lab_status

PROJECT = Path(__file__).resolve().parents[2]
DOUBLE = PROJECT / "tests" / "doubles" / "dllama_source"
ROOT, WORKER = "run1", "run2"
"""Nodes of the lab that the tests of the runner share."""
KILLER = """
until grep -qs '{words}' /var/lib/llama-herd/attempts/herd-*-a1-*.out; do sleep 0.01; done
sleep {delay_s}
systemctl kill --signal=KILL 'herd-*-a1-*'
"""
RELEASES = [one for one in os.environ.get("LAB_RELEASE", "").split(",") if one]
"""Systems of the nodes, in turn, in every lab of the tests; none: this machine's own."""
PLAY_S = 1800
COMMAND_S = 300


@dataclass(frozen=True)
class Played:
    """What a playbook did."""

    code: int
    output: str

    def changed(self) -> dict[str, int]:
        """Node to tasks that changed something."""
        found = re.findall(r"^(\w+) +:.* changed=(\d+) ", self.output, re.MULTILINE)
        return {node: int(count) for node, count in found if node != "localhost"}

    def nodes_of(self, task: str) -> list[str]:
        """Nodes that a task changed."""
        told = self.output.partition(f": {task}")[2].partition("\nTASK [")[0]
        return re.findall(r"^changed: \[(\w+)\]", told, re.MULTILINE)

    def words(self) -> str:
        """The output with every run of blanks as one, as a reader takes it in."""
        return " ".join(self.output.split())


@dataclass(frozen=True)
class VirtualLab:
    """Virtual nodes beside those of the default inventory.

    Attributes:
        folder: of the lab's keys, its inventory and what playbooks remember.
        prefix: of the nodes' names.
        subnet: of the nodes, with its length.
        count: how many nodes.
        settings: other variables of `playbooks/lab.yml`.
        environment: of playbooks, beside the tests' own.
        groups: other groups of the inventory, each with its nodes.
    """

    folder: Path
    prefix: str
    subnet: str
    count: int
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict, kw_only=True)

    @property
    def inventory(self) -> str:
        return str(self.folder / "hosts.yml")

    @property
    def _state(self) -> Path:
        return self.folder / "lab" / "state.json"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "lab" / "known_hosts"

    def up(self) -> Played:
        """Bring the nodes up and write their inventory."""
        raised = self._lab("present")
        if raised.code == 0:
            self._write_inventory()
        return raised

    def down(self) -> Played:
        """Leave nothing of them."""
        return self._lab("absent")

    def play(self, playbook: str, *flags: str, **extra: object) -> Played:
        """Run a playbook of the project on the nodes."""
        return self._play(playbook, f"--inventory={self.inventory}", *flags, **extra)

    def provision(self, *flags: str, **extra: object) -> None:
        """Provision the nodes; it must go well."""
        done = self.play("provision.yml", *flags, **extra)
        assert done.code == 0, done.output

    @property
    def names(self) -> list[str]:
        """Of its nodes."""
        return [f"{self.prefix}{number}" for number in range(1, self.count + 1)]

    def address(self, node: str) -> str:
        """Of one of its nodes."""
        nodes = json.loads(self._state.read_text())["nodes"]
        return next(str(one["address"]) for one in nodes if one["name"] == node)

    def status(self) -> list[LabNode]:
        """As `fab lab-status` would tell it."""
        return lab_status(self._state)

    def cluster(self, count: int) -> Cluster:
        """The first nodes, as the runner sees them."""
        whole = read_cluster(PROJECT, self.inventory)
        return replace(whole, nodes=whole.nodes[:count])

    def podman(self, *arguments: str, given: str = "") -> str:
        """What a command of Podman prints; it must go well."""
        configuration = self.folder / "lab" / "containers.conf"
        extra = {"CONTAINERS_CONF": str(configuration)} if configuration.exists() else {}
        done = subprocess.run(
            ["podman", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
            env={**os.environ, **extra},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def on(self, node: str, command: str, *, given: str = "") -> str:
        """What a shell command on a node prints, not by way of the helper."""
        return self.podman("exec", "--interactive", node, "sh", "-c", command, given=given)

    def lie_in_wait(self, node: str, words: str, delay_s: float) -> None:
        """Kill the process of a first attempt on a node so long after it has printed some words."""
        script = KILLER.format(words=words, delay_s=delay_s)
        self.on(node, "cat >/etc/killer", given=script)
        self.on(node, "systemd-run --quiet --collect --unit=killer sh /etc/killer")

    def units(self) -> dict[str, str]:
        """Units of ours that systemd knows, by node."""
        listing = "systemctl list-units --all --plain --no-legend 'herd-*'"
        return {node: units for node in self.names if (units := self.on(node, listing).strip())}

    def begin(self, results: Path, *axes: str) -> subprocess.Popen[str]:
        """Begin or continue the run of `tests.doubles.lab_run` in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.doubles.lab_run", self.inventory, str(results), *axes],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, results: Path, *axes: str) -> tuple[int, str]:
        """The whole of it: exit code and what it said."""
        process = self.begin(results, *axes)
        said = process.communicate(timeout=600)[1]
        return process.returncode, said

    def _lab(self, state: str) -> Played:
        variables = {
            "lab_state": state,
            "lab_directory": str(self.folder / "lab"),
            "lab_prefix": self.prefix,
            "lab_network": f"llama-herd-{self.prefix}",
            "lab_subnet": self.subnet,
            "lab_nodes": self.count,
            "lab_release": RELEASES[: self.count],
        }
        return self._play(
            "playbooks/lab.yml", "--inventory=localhost,", **{**variables, **self.settings}
        )

    def _play(self, playbook: str, *flags: str, **extra: object) -> Played:
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = subprocess.run(
            [program, playbook, *flags, f"--extra-vars={json.dumps(extra)}"],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=PLAY_S,
            env={
                **os.environ,
                "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "facts"),
                "ANSIBLE_NOCOLOR": "1",
                **self.environment,
            },
        )
        return Played(done.returncode, done.stdout)

    def _write_inventory(self) -> None:
        """As the lab's own inventory would tell it."""
        state = json.loads(self._state.read_text())
        variables = {
            **yaml.safe_load((PROJECT / "inventory" / "group_vars" / "all.yml").read_text()),
            "ansible_user": "pi",
            "ansible_ssh_private_key_file": str(self.folder / "lab" / "id_ed25519"),
            "herd_known_hosts": str(self.known_hosts),
            "lab_gateway": state["gateway"],
            "node_facts_folder": str(self.folder / "nodes"),
        }
        hosts = {
            node["name"]: {
                "ansible_host": node["address"],
                "herd_gpu": node["gpu"],
                **{f"lab_{key}": node[key] for key in ("link_mbit", "memory_mib", "cpus")},
            }
            for node in state["nodes"]
        }
        content: dict[str, object] = {"cluster": {"hosts": hosts, "vars": variables}}
        for group, nodes in self.groups.items():
            content[group] = {"hosts": {node: {} for node in nodes}}
        Path(self.inventory).write_text(yaml.safe_dump(content, sort_keys=False))
