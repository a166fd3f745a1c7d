"""Which nodes of the lab have a software Vulkan driver, and which names are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.fleet import lab
from tests.unit.test_lab_inventory import LAB, inventory_of, listed
from tests.unit.test_lab_releases import DEBIAN_12, checked


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("pi9", r"--vulkan pi9: 'pi9' is not one of pi1, pi2, pi3, pi4\. .*with commas"),
        ("pi1 pi3", r"'pi1 pi3' is not one of"),
        ("pi1,", r"'' is not one of"),
        ("pi1,pi4", r"pi4 is an emulated arm64 node.*Name amd64 nodes"),
    ],
)
def test_nodes_that_cannot_have_the_driver_are_refused(asked: str, words: str) -> None:
    with pytest.raises(HerdError, match=words):
        lab.lab_up(4, arm64=1, vulkan=asked)


@pytest.mark.parametrize(
    ("asked", "handed_over"), [("", []), ("pi3", ["pi3"]), ("pi1, pi3", ["pi1", "pi3"])]
)
def test_names_reach_the_role_as_a_list(
    monkeypatch: pytest.MonkeyPatch, asked: str, handed_over: list[str]
) -> None:
    played: list[Mapping[str, object]] = []
    monkeypatch.setattr(lab, "lab_obstacle", lambda: None)
    monkeypatch.setattr(lab, "_play", lambda _doing, variables: played.append(variables))
    lab.lab_up(4, vulkan=asked)
    assert played[0]["lab_vulkan"] == handed_over


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("pi1,pi9", "lab_vulkan names pi9. The nodes of this lab are pi1, pi2."),
        (["pi2"], "lab_vulkan names pi2, which is an emulated arm64 node."),
    ],
)
def test_the_role_refuses_them_too(tmp_path: Path, asked: object, words: str) -> None:
    said = checked(tmp_path, DEBIAN_12 | {"lab_nodes": 2, "lab_arm64": 1, "lab_vulkan": asked})
    assert words in said
    assert "changed=0" in said


def test_the_inventory_says_which_nodes_have_a_gpu(tmp_path: Path) -> None:
    gpus = {"pi1": "vulkan", "pi2": "none"}
    nodes = [{**node, "gpu": gpus[node["name"]]} for node in LAB["nodes"][:2]] + LAB["nodes"][2:3]
    hosts = listed(inventory_of(tmp_path, json.dumps(LAB | {"nodes": nodes})))["_meta"]["hostvars"]
    assert {name: known.get("herd_gpu") for name, known in hosts.items()} == {
        "pi1": "vulkan",
        "pi2": None,
        "pi3": None,
    }
