"""The inventory of the lab: exactly what is up, and nothing that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import HerdError
from experiments.fleet.inventory import read_cluster
from experiments.fleet.lab import LAB_IS_DOWN, lab_is_up, lab_status, lab_up

PROJECT = Path(__file__).resolve().parents[2]
OWNED = "127.0.0.1"
FOREIGN = "203.0.113.1"  # RFC 5737: nobody's
LAB: dict[str, Any] = {
    "network": "some-lab",
    "gateway": OWNED,
    "link_mbit": 1000,
    "memory_mib": 2048,
    "cpus": 1.0,
    "nodes": [{"name": f"pi{number}", "address": f"10.0.0.{number}"} for number in range(1, 13)],
}


def inventory_of(folder: Path, state: str | None, name: str = "lab.yml") -> Path:
    if state is not None:
        (folder / "state.json").write_text(state)
    file = folder / "inventory" / name
    file.parent.mkdir()
    file.write_text(f"{(PROJECT / 'inventory' / name).read_text()}state: state.json\n")
    return file


def ansible(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
    )


def listed(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(ansible("ansible-inventory", "-i", file, "--list").stdout)
    return content


def test_nodes_of_a_lab_that_is_up_are_listed_in_natural_order(tmp_path: Path) -> None:
    content = listed(inventory_of(tmp_path, json.dumps(LAB)))
    assert content["cluster"]["hosts"] == [f"pi{number}" for number in range(1, 13)]
    assert content["_meta"]["hostvars"]["pi10"]["ansible_host"] == "10.0.0.10"
    assert content["_meta"]["hostvars"]["pi10"]["lab_link_mbit"] == 1000


def test_the_inventory_of_arm64_nodes_leaves_out_the_others(tmp_path: Path) -> None:
    kinds = {"pi2": "arm64", "pi7": "arm64"}
    nodes = [{**node, "architecture": kinds.get(node["name"], "amd64")} for node in LAB["nodes"]]
    state = json.dumps(LAB | {"nodes": nodes})
    content = listed(inventory_of(tmp_path, state, "lab_arm64.yml"))
    assert content["cluster"]["hosts"] == ["pi2", "pi7"]


def test_without_arm64_nodes_their_inventory_says_how_to_get_some(tmp_path: Path) -> None:
    file = inventory_of(tmp_path, json.dumps(LAB), "lab_arm64.yml")
    with pytest.raises(HerdError, match=r"no arm64 node.*fab lab-up --nodes 2 --arm64 1"):
        read_cluster(PROJECT, str(file))


@pytest.mark.parametrize("state", [None, json.dumps(LAB | {"gateway": FOREIGN})])
def test_a_lab_that_is_down_has_no_nodes_and_everything_says_so(
    tmp_path: Path, state: str | None
) -> None:
    file = inventory_of(tmp_path, state)
    assert listed(file)["_meta"]["hostvars"] == {}
    with pytest.raises(HerdError, match=LAB_IS_DOWN):
        read_cluster(PROJECT, str(file))
    refused = ansible("ansible-playbook", "-i", file, "playbooks/nodes.yml")
    assert refused.returncode != 0
    assert LAB_IS_DOWN in refused.stdout


def test_a_torn_state_is_named_with_the_way_out(tmp_path: Path) -> None:
    file = inventory_of(tmp_path, '{"gateway": ')
    said = ansible("ansible-inventory", "-i", file, "--list")
    assert said.returncode != 0
    assert "run: fab lab-down, then fab lab-up" in " ".join(said.stderr.split())


def test_an_inventory_without_a_cluster_is_told_from_a_lab_that_is_down(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yml"
    file.write_text("all: {hosts: {somewhere: {ansible_host: 203.0.113.1}}}\n")
    refused = ansible("ansible-playbook", "-i", file, "playbooks/nodes.yml")
    assert refused.returncode != 0
    assert "no node in group cluster" in " ".join(refused.stdout.split())


def test_the_lab_is_up_where_its_gateway_is_ours() -> None:
    assert lab_is_up(OWNED)
    assert not lab_is_up(FOREIGN)


def test_a_lab_without_state_has_no_nodes(tmp_path: Path) -> None:
    assert lab_status(tmp_path / "state.json") == []


@pytest.mark.parametrize("nodes", [0, 17])
def test_a_lab_of_impossible_size_is_refused(nodes: int) -> None:
    with pytest.raises(HerdError, match="1 to 16 nodes"):
        lab_up(nodes)


@pytest.mark.parametrize("arm64", [-1, 5])
def test_more_arm64_nodes_than_nodes_are_refused(arm64: int) -> None:
    with pytest.raises(HerdError, match="0 to 4 can be arm64 nodes"):
        lab_up(4, arm64)
