"""Nodes with a software GPU: what is installed on them, and what a plan says.

The engine is the real llama.cpp with Mesa's software Vulkan driver, on two of four virtual nodes.
"""

from __future__ import annotations

import pytest

from experiments.planning.describe import describe
from tests.lab.conftest import what_gpu_nodes_need
from tests.lab.gpu_lab import (
    GPU_FIRST,
    GPUS,
    LLAMA,
    NODES,
    SOFTWARE,
    planned,
    record,
    study,
)
from tests.lab.virtual_lab import VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

WHOLE = study(group=("cluster", "behind", "pair"))


def test_provisioning_again_changes_nothing(gpu_lab: VirtualLab) -> None:
    again = gpu_lab.play("provision.yml", **what_gpu_nodes_need())
    assert again.code == 0, again.output
    assert again.changed() == dict.fromkeys(NODES, 0)


def test_the_nodes_with_a_gpu_have_the_programs_for_it_and_the_others_do_not(
    gpu_lab: VirtualLab,
) -> None:
    found = {node: record(gpu_lab, node, "llama.cpp").get("gpu") for node in NODES}
    assert found == {node: "vulkan" if node in GPUS else None for node in NODES}
    programs = {node: gpu_lab.on(node, f"ls {LLAMA}/bin").split() for node in NODES}
    for node in NODES:
        assert {"llama-bench", "llama-server", "ggml-rpc-server"} <= set(programs[node])
        assert any(name.endswith("-vulkan") for name in programs[node]) == (node in GPUS)


def test_a_program_for_the_cpu_has_no_backend_even_where_there_is_a_gpu(
    gpu_lab: VirtualLab,
) -> None:
    listing = "GGML_VK_VISIBLE_DEVICES=0 {}/bin/llama-bench{} --list-devices 2>&1"
    assert SOFTWARE in gpu_lab.on(GPU_FIRST, listing.format(LLAMA, "-vulkan"))
    assert SOFTWARE not in gpu_lab.on(GPU_FIRST, listing.format(LLAMA, ""))


def test_the_plan_names_what_computes_and_that_it_is_software(gpu_lab: VirtualLab) -> None:
    plan = planned(gpu_lab, WHOLE)
    screen = " ".join(" ".join(str(line) for line in describe(plan)).split())
    assert SOFTWARE in screen
    assert "software" in screen
    assert GPU_FIRST in screen
