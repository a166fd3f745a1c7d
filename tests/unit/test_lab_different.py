"""Nodes of the lab with limits that the others do not have: refused by name, and seen by all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.fleet import lab
from tests.unit.test_lab_inventory import LAB, inventory_of, listed
from tests.unit.test_lab_releases import DEBIAN_12, checked


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"pi9": {"cpus": 0.25}}, "lab_different: pi9 is not a node of it. The nodes of this lab"),
        ({"pi1": {"cpu": 0.25}}, "pi1 has cpu: 0.25. The nodes of this lab are pi1, pi2, and for"),
        ({"pi2": {"link_mbit": 0}}, "pi2 has link_mbit: 0"),
        ({"pi2": {"cpus": "half"}}, "pi2 has cpus: half"),
        ({"pi2": 0.25}, "pi2 has 0.25 instead of limits by name"),
    ],
)
def test_limits_that_no_node_can_have_are_refused(
    tmp_path: Path, asked: object, words: str
) -> None:
    said = checked(tmp_path, DEBIAN_12 | {"lab_nodes": 2, "lab_different": asked})
    assert words in said
    assert "for each you can give cpus, memory_mib, link_mbit, a number above 0" in said
    assert "changed=0" in said


def test_the_inventory_has_the_limits_of_each_node(tmp_path: Path) -> None:
    own = {"pi2": {"link_mbit": 20}, "pi3": {"cpus": 0.25}}
    nodes = [{**node, **own.get(node["name"], {})} for node in LAB["nodes"]]
    hosts = listed(inventory_of(tmp_path, json.dumps(LAB | {"nodes": nodes})))["_meta"]["hostvars"]
    assert [hosts[name]["lab_link_mbit"] for name in ("pi1", "pi2", "pi3")] == [1000, 20, 1000]
    assert [hosts[name]["lab_cpus"] for name in ("pi1", "pi2", "pi3")] == [1.0, 1.0, 0.25]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"g/cpu.max": "25000 100000\n"}, 0.25),
        ({"g/cpu.max": "max 100000\n"}, None),
        ({"cpu/g/cpu.cfs_quota_us": "2200\n", "cpu/g/cpu.cfs_period_us": "10000\n"}, 0.22),
        ({"cpu/g/cpu.cfs_quota_us": "-1\n", "cpu/g/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_limit_in_force_is_what_the_kernel_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: float | None
) -> None:
    monkeypatch.setattr(lab, "CGROUPS", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert lab._cpus("/g") == cores
