"""A lab of the tests' own, from its first node to its last trace."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.fleet.lab import LAB_IS_DOWN, LabNode, lab_is_up, lab_status
from tests.lab.virtual_lab import RELEASES

PROJECT = Path(__file__).resolve().parents[2]
NETWORK = "llama-herd-test"
GATEWAY = "10.78.201.1"
LINK_MBIT = 50
MEMORY_MIB = 512


@dataclass(frozen=True)
class OwnLab:
    """A small lab beside the default one."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    def play(self, **variables: object) -> str:
        """Run the playbook; its output."""
        settings = {
            "lab_prefix": "herdtest",
            "lab_network": NETWORK,
            "lab_subnet": "10.78.201.0/24",
            "lab_directory": str(self.folder),
            "lab_link_mbit": LINK_MBIT,
            "lab_memory_mib": MEMORY_MIB,
            "lab_tmpfs": {"/opt/small": "20m"},
        }
        done = ansible(
            "ansible-playbook",
            "-i",
            "localhost,",
            "playbooks/lab.yml",
            f"--extra-vars={json.dumps(settings | variables)}",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, nodes: int = 2) -> str:
        return self.play(lab_state="present", lab_nodes=nodes, lab_release=RELEASES[:nodes])

    def down(self) -> str:
        return self.play(lab_state="absent")

    def status(self) -> list[LabNode]:
        return lab_status(self.state)

    def ssh(self, node: LabNode, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs a command on a node, checking its host key."""
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        key = str(self.folder / "id_ed25519")
        argv = ["ssh", "-o", known, "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
        argv += ["-o", "ConnectTimeout=10", "-o", "IdentitiesOnly=yes", *options]
        return [*argv, "-i", key, f"pi@{node.address}", *command]

    def ask(self, node: LabNode, *command: str) -> str:
        return output(*self.ssh(node, *command))

    def inventory(self) -> Path:
        """An inventory file of the lab plugin that looks at this lab."""
        file = self.folder / "inventory" / "lab.yml"
        file.parent.mkdir(exist_ok=True)
        file.write_text("plugin: lab\nstate: state.json\n")
        return file


def ansible(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = str(Path(sys.executable).with_name(program))
    environment = os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.run(
        [path, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def traces() -> dict[str, set[str]]:
    """Everything that a lab could leave on this machine."""
    mounts = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    # A machine that never had a lab may have no nft; installing it belongs to the first lab-up.
    rules = ""
    if shutil.which("nft"):
        rules = subprocess.run(
            ["nft", "list", "ruleset"], capture_output=True, text=True, check=False
        ).stdout
    found = {
        "mounts": mounts,
        "firewall rules": {
            re.sub(r"packets \d+ bytes \d+", "", rule) for rule in rules.splitlines()
        },
        "devices": set(os.listdir("/sys/class/net")),  # noqa: PTH208  # names are what is compared
    }
    if Path("/usr/bin/podman").exists():
        found["containers"] = set(output("podman", "ps", "-a", "--format={{.Names}}").split())
        found["networks"] = set(output("podman", "network", "ls", "--format={{.Name}}").split())
        found["volumes"] = set(output("podman", "volume", "ls", "--format={{.Name}}").split())
        # Looking mounts Podman's storage.
        if not found["containers"]:
            subprocess.run(["umount", "/var/lib/containers/storage/overlay"], check=False)
    return found


@pytest.fixture(scope="module")
def before(lab_possible: None) -> dict[str, set[str]]:
    return traces()


@pytest.fixture(scope="module")
def lab(before: dict[str, set[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnLab]:
    lab = OwnLab(tmp_path_factory.mktemp("lab"))
    lab.up()
    yield lab
    lab.down()


def test_nodes_are_up_in_order_with_their_limits(lab: OwnLab) -> None:
    expected = [("herdtest1", "10.78.201.11"), ("herdtest2", "10.78.201.12")]
    assert [(node.name, node.address) for node in lab.status()] == expected
    for node in lab.status():
        assert (node.state, node.link_mbit, node.cpus) == ("running", LINK_MBIT, 1.0)
        limit = lab.ask(
            node, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>&-;:"
        )
        assert int(limit) == MEMORY_MIB * 1024**2


def test_systemd_is_process_one_and_content(lab: OwnLab) -> None:
    for node in lab.status():
        assert lab.ask(node, "cat", "/proc/1/comm") == "systemd"
        assert lab.ask(node, "systemctl", "is-system-running") == "running"


def test_pi_is_root_by_sudo(lab: OwnLab) -> None:
    assert lab.ask(lab.status()[0], "sudo", "--non-interactive", "id", "-un") == "root"


def test_without_the_labs_key_nobody_comes_in(lab: OwnLab) -> None:
    node = lab.status()[0]
    options = ("-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password")
    done = subprocess.run(
        lab.ssh(node, "true", options=options), capture_output=True, text=True, check=False
    )
    assert "Permission denied (publickey)" in done.stderr


def test_each_node_has_a_host_key_of_its_own(lab: OwnLab) -> None:
    known = [line.split()[:3] for line in (lab.folder / "known_hosts").read_text().splitlines()]
    assert [line[0] for line in known] == ["10.78.201.11", "10.78.201.12"]
    assert known[0][2] != known[1][2]


def test_another_host_key_is_refused(lab: OwnLab) -> None:
    first, second = lab.status()
    options = ("-o", f"HostKeyAlias={second.address}")
    done = subprocess.run(
        lab.ssh(first, "true", options=options), capture_output=True, text=True, check=False
    )
    assert "Host key verification failed" in done.stderr


def test_links_are_as_slow_as_asked_for_both_ways(lab: OwnLab) -> None:
    node = lab.status()[0]
    sent_bytes = 4_000_000
    shortest_s = sent_bytes * 8 / (LINK_MBIT * 1e6)
    started = time.monotonic()
    output(*lab.ssh(node, "head", "-c", str(sent_bytes), "/dev/zero"))
    out_s = time.monotonic() - started
    started = time.monotonic()
    subprocess.run(
        lab.ssh(node, "cat >/dev/null"), input=b"\0" * sent_bytes, check=True, capture_output=True
    )
    into_s = time.monotonic() - started
    # The bucket lets its first two milliseconds pass unslowed.
    assert min(out_s, into_s) > 0.95 * shortest_s


def test_a_folder_can_be_a_small_disk(lab: OwnLab) -> None:
    said = lab.ask(lab.status()[0], "df --output=size -m /opt/small | tail -n 1")
    assert int(said) == 20


def test_a_second_lab_up_changes_nothing(lab: OwnLab) -> None:
    assert re.search(r"localhost .* changed=0 ", lab.up())


def test_the_inventory_lists_exactly_the_nodes_that_are_up(lab: OwnLab) -> None:
    listed = ansible("ansible-inventory", "-i", str(lab.inventory()), "--list")
    found = json.loads(listed.stdout)
    assert found["cluster"]["hosts"] == ["herdtest1", "herdtest2"]
    variables = found["_meta"]["hostvars"]["herdtest1"]
    assert variables["ansible_host"] == "10.78.201.11"
    assert variables["lab_gateway"] == GATEWAY


def test_lab_up_wakes_starts_and_plugs_in_again(lab: OwnLab) -> None:
    first, second = lab.status()
    output("podman", "pause", first.name)
    assert [node.state for node in lab.status()] == ["paused", "running"]
    output("podman", "restart", "--time=0", second.name)
    assert lab.status()[1].link_mbit is None
    lab.up()
    assert [(node.state, node.link_mbit) for node in lab.status()] == [("running", LINK_MBIT)] * 2
    said = json.loads(output("ip", "-json", "address", "show", "to", GATEWAY))
    output("ip", "link", "delete", next(one["ifname"] for one in said if one))
    assert not lab_is_up(GATEWAY)
    lab.up()
    assert [lab.ask(node, "hostname") for node in lab.status()] == [first.name, second.name]


def test_nodes_come_and_go_with_the_number_asked_for(lab: OwnLab) -> None:
    lab.up(3)
    assert [node.name for node in lab.status()] == ["herdtest1", "herdtest2", "herdtest3"]
    lab.up(1)
    assert [node.name for node in lab.status()] == ["herdtest1"]


def test_lab_down_leaves_nothing_and_the_inventory_says_so(
    lab: OwnLab, before: dict[str, set[str]]
) -> None:
    output("podman", "pause", lab.status()[0].name)
    lab.down()
    left = {kind: found - before.get(kind, set()) for kind, found in traces().items()}
    assert left == {kind: set() for kind in left} | ({"networks": left["networks"] & {"podman"}})
    assert lab.status() == []
    assert not lab_is_up(GATEWAY)
    listed = ansible("ansible-inventory", "-i", str(lab.inventory()), "--list")
    assert json.loads(listed.stdout)["_meta"]["hostvars"] == {}
    refused = ansible("ansible-playbook", "-i", str(lab.inventory()), "playbooks/nodes.yml")
    assert refused.returncode != 0
    assert LAB_IS_DOWN in refused.stdout
    assert re.search(r"localhost .* changed=0 ", lab.down())
