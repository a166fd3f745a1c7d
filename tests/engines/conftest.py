"""A lab with distributed-llama built by the role from upstream's real source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from experiments.lab import lab_obstacle

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = os.environ.get("DISTRIBUTED_LLAMA_SOURCE")
PROGRAM = "/opt/llama-herd/engines/distributed-llama/bin/dllama"
ROOT, WORKER, SECOND = "eng1", "eng2", "eng3"
NODES = 8
TINY, SMALL = "synthetic:tiny", "synthetic:small"
TWELVE_HEADS = (
    "synthetic:dim=384,hidden=768,layers=2,heads=12,kv_heads=12,vocab=1026,context=256,seed=1"
)
TWO_KV_HEADS = (
    "synthetic:dim=256,hidden=512,layers=2,heads=8,kv_heads=2,vocab=1024,context=256,seed=1"
)
MODELS = [
    {"name": TINY, "weights": ["q4_0"]},
    {"name": SMALL, "weights": ["q4_0"]},
    {"name": TWELVE_HEADS, "weights": ["f32"]},
    {"name": TWO_KV_HEADS, "weights": ["q4_0"]},
]
LAB = {
    "lab_prefix": "eng",
    "lab_network": "llama-herd-eng",
    "lab_subnet": "10.93.0.0/24",
    "lab_nodes": NODES,
    # A disk for logs that a test can fill.
    "lab_tmpfs": {"/var/lib/llama-herd": "8m"},
}
SABOTEUR = """#!/bin/sh
# Stands in the engine's place and does a mischief before it, in first attempts only.
if [ -r /etc/mischief ] && grep -q -- '-a1-[a-z-]*[.]service' /proc/self/cgroup; then
    . /etc/mischief
fi
exec "$0.real" "$@"
"""
KILLER = """
until grep -qs '{words}' /var/lib/llama-herd/attempts/herd-*-a1-*.out; do sleep 0.01; done
sleep {delay_s}
systemctl kill --signal=KILL 'herd-*-a1-*'
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/engines/" not in item.path.as_posix():
            continue
        item.add_marker(pytest.mark.lab)
        item.add_marker(pytest.mark.slow)
        if SOURCE is None:
            reason = "DISTRIBUTED_LLAMA_SOURCE, a Git address or a folder of upstream's, is not set"
            item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class RealLab:
    """Eight nodes with the real engine."""

    folder: Path

    @property
    def inventory(self) -> str:
        return str(self.folder / "hosts.yml")

    def play(self, playbook: str, inventory: str, *flags: str, **extra: object) -> None:
        """Run a playbook of the project."""
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = subprocess.run(
            [program, "-i", inventory, playbook, f"--extra-vars={json.dumps(extra)}", *flags],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=900,
            env={**os.environ, "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "facts")},
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]

    def write_inventory(self) -> None:
        """As the lab's own inventory would tell it."""
        state = json.loads((self.folder / "lab" / "state.json").read_text())
        variables = {
            **yaml.safe_load((PROJECT / "inventory" / "group_vars" / "all.yml").read_text()),
            "ansible_user": "pi",
            "ansible_ssh_private_key_file": str(self.folder / "lab" / "id_ed25519"),
            "herd_known_hosts": str(self.folder / "lab" / "known_hosts"),
            "lab_gateway": state["gateway"],
            "node_facts_folder": str(self.folder / "nodes"),
        }
        hosts = {node["name"]: {"ansible_host": node["address"]} for node in state["nodes"]}
        content = {"cluster": {"hosts": hosts, "vars": variables}}
        Path(self.inventory).write_text(yaml.safe_dump(content, sort_keys=False))

    def address(self, node: str) -> str:
        """Address of a node."""
        hosts = yaml.safe_load(Path(self.inventory).read_text())["cluster"]["hosts"]
        return str(hosts[node]["ansible_host"])

    def on(self, node: str, command: str, *, given: str = "") -> str:
        """What a shell command on a node prints."""
        configuration = self.folder / "lab" / "containers.conf"
        extra = {"CONTAINERS_CONF": str(configuration)} if configuration.exists() else {}
        done = subprocess.run(
            ["podman", "exec", "--interactive", node, "sh", "-c", command],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, **extra},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def plant(self, node: str, mischief: str) -> None:
        """Shell commands to come before the engine in first attempts on a node."""
        self.on(node, "cat >/etc/mischief", given=mischief)

    def lie_in_wait(self, node: str, words: str, delay_s: float) -> None:
        """Kill the process of a first attempt on a node so long after it has printed some words."""
        script = KILLER.format(words=words, delay_s=delay_s)
        self.on(node, "cat >/etc/killer", given=script)
        self.on(node, "systemd-run --quiet --collect --unit=killer sh /etc/killer")

    def make_good(self) -> None:
        """Take all mischief away."""
        for node in (ROOT, WORKER, SECOND):
            self.on(node, "rm -f /etc/mischief; systemctl stop killer stranger 2>/dev/null || true")

    def units(self) -> str:
        """Units of ours that live anywhere."""
        listing = "systemctl list-units --all --plain --no-legend 'herd-*'"
        return "".join(self.on(f"eng{number}", listing) for number in range(1, NODES + 1))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab, with the engine as the role builds it and a saboteur in its place."""
    obstacle = lab_obstacle()
    if obstacle is not None:
        pytest.fail(f"no lab here: {obstacle}")
    made = RealLab(tmp_path_factory.mktemp("engines"))
    settings = {**LAB, "lab_directory": str(made.folder / "lab")}
    try:
        made.play("playbooks/lab.yml", "localhost,", lab_state="present", **settings)
        made.write_inventory()
        tags = "--tags=base,distributed_llama,models"
        extra = {"distributed_llama_repo": SOURCE, "herd_models": MODELS}
        made.play("provision.yml", made.inventory, tags, **extra)
        for number in range(1, NODES + 1):
            place = f"mv {PROGRAM} {PROGRAM}.real && cat >{PROGRAM} && chmod 755 {PROGRAM}"
            made.on(f"eng{number}", place, given=SABOTEUR)
        yield made
    finally:
        made.play("playbooks/lab.yml", "localhost,", lab_state="absent", **settings)


@pytest.fixture
def sound(lab: RealLab) -> Iterator[RealLab]:
    """The lab without mischief, before and after."""
    lab.make_good()
    yield lab
    lab.make_good()
