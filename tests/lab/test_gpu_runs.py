"""Cells on a software GPU, end to end: provisioned, planned, run, killed, continued, reported.

The engine is the real llama.cpp with Mesa's software Vulkan driver, on two of four virtual nodes.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from analysis.agreement.report import agreed
from analysis.report import write_report
from collect.load import load_run
from collect.tables import build_tables
from experiments.disk.ledger import runs
from experiments.planning.describe import describe
from experiments.runner import RunResult
from tests.doubles.lab_run import run
from tests.lab.conftest import what_gpu_nodes_need
from tests.lab.gpu_lab import (
    CPU_FOURTH,
    CPU_SECOND,
    GPU_FIRST,
    GPU_THIRD,
    GPUS,
    LLAMA,
    NODES,
    SOFTWARE,
    computed,
    of,
    planned,
    reasons,
    record,
    results_of,
    study,
)
from tests.lab.runs import attempts, until
from tests.lab.virtual_lab import VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

WHOLE = study(group=("cluster", "behind", "pair"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_of(tmp_path_factory.mktemp("gpu-runs"))


@pytest.fixture(scope="module")
def ran(gpu_lab: VirtualLab, results: Path) -> RunResult:
    """CPU and GPU on one node and on two, with a GPU at the root, behind it, and on both."""
    return run(gpu_lab.inventory, results, WHOLE)


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


def test_cells_run_where_they_say(ran: RunResult, results: Path) -> None:
    """A GPU at the root, behind it and on both; in CPU cells none, on the same nodes."""
    assert ran.counts["failed"] == 0, ran.notes
    unavailable = {trial.reason for trial in of(ran).trials if trial.state == "unavailable"}
    assert len(unavailable) == 1, "the cell of one node whose group begins with a CPU node"
    assert CPU_SECOND in (only := str(unavailable.pop())), only
    assert computed(attempts(results)) == {
        ("cluster", 1, "cpu"): {()},
        ("cluster", 2, "cpu"): {()},
        ("cluster", 1, "gpu"): {(GPU_FIRST,)},
        ("cluster", 2, "gpu"): {(GPU_FIRST,)},
        ("behind", 1, "cpu"): {()},
        ("behind", 2, "cpu"): {()},
        ("behind", 2, "gpu"): {(GPU_THIRD,)},
        ("pair", 1, "cpu"): {()},
        ("pair", 2, "cpu"): {()},
        ("pair", 1, "gpu"): {(GPU_FIRST,)},
        ("pair", 2, "gpu"): {GPUS},
    }


def test_an_attempt_keeps_the_name_of_what_computed(ran: RunResult, results: Path) -> None:
    on_gpus = [one for one in attempts(results) if one.params["device"] == "gpu"]
    assert on_gpus
    for one in on_gpus:
        assert all(SOFTWARE in name for name in one.devices.values()), one.devices
        assert set(one.software_devices) == set(one.devices)


def test_a_gpu_says_what_the_reference_says(ran: RunResult) -> None:
    found = agreed(load_run(ran.folder), build_tables(ran.folder), ran.folder)
    assert found is not None
    assert not found.is_wrong, found.sentences
    assert set(found.cells["judgement"]) == {"the measure", "agrees"}


def test_the_report_names_software_and_compares_no_speed_of_it(
    ran: RunResult, tmp_path: Path
) -> None:
    report = write_report(ran.folder, tmp_path)
    text = report.index.with_name("report.md").read_text()
    assert f"is software ({SOFTWARE}" in text
    assert "is shown and compared with no other" in text


def test_a_runner_that_is_killed_in_a_cell_with_a_gpu_continues(
    gpu_lab: VirtualLab, tmp_path: Path
) -> None:
    axes = ("device=gpu", "nodes=1,2", "repeats=2")
    process = gpu_lab.begin(tmp_path, *axes[:2])
    until(lambda: any(node in gpu_lab.units() for node in GPUS))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until(lambda: not gpu_lab.units())

    code, said = gpu_lab.run(tmp_path, *axes[:2])

    assert code == 0, said
    assert len(runs(tmp_path)) == 1
    done = attempts(tmp_path)
    assert {one.outcome for one in done} == {"done"}
    assert len(done) == 6
    assert all(GPU_FIRST in one.devices for one in done)


def test_where_no_node_has_a_gpu_the_cell_cannot_run_and_each_is_named(
    gpu_lab: VirtualLab,
) -> None:
    plan = planned(gpu_lab, study(group=("plain",), device=("gpu",)))
    assert all(reason and CPU_SECOND in reason for reason in reasons(plan))
    assert CPU_FOURTH in str(reasons(plan)[1])
