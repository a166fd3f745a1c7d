"""Cells on GPUs: which nodes compute on one, why a cell cannot run, and what computed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from collect.attempt import AttemptRecord, load_attempt
from collect.parsers.distributed_llama import PARSER
from core.errors import HerdError
from experiments.engines.common import taking_part
from experiments.engines.gpu_checks import gpus_in
from experiments.fleet.cluster import Backend, Cluster
from experiments.nodes.facts import ask_facts
from experiments.planning.describe import describe
from experiments.planning.lacks import lacks_of
from experiments.planning.matrix import Matrix
from experiments.planning.plan import Plan, make_plan, plan_id, trim
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import LineProgress
from tests.doubles.gpus import (
    BROKEN,
    ENGINE,
    LLVMPIPE,
    RTX,
    SOFTWARE,
    computes_on_gpus,
    device,
    told,
)
from tests.doubles.scripted import ScriptedConversation, ScriptedLauncher, World, cluster
from tests.doubles.scripted_run import matrix, world

PC = {"pi1": told()}
"""pi1 has a GPU, the others have none."""


@pytest.fixture
def _gpu_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    computes_on_gpus(monkeypatch)


gpu_engine = pytest.mark.usefixtures("_gpu_engine")


def study(
    nodes: tuple[int, ...] = (1,), devices: tuple[str, ...] = ("gpu",), workers: str = "fresh"
) -> Matrix:
    axes = {**matrix().axes, "nodes": nodes, "device": devices, "workers": (workers,)}
    return matrix(axes=axes)


def having(folder: Path, gpus: dict[str, bytes], **changed: object) -> World:
    return world(folder, gpu=gpus.get, **changed)


def planned(
    folder: Path,
    gpus: dict[str, bytes],
    asked: Matrix | None = None,
    herd_gpu: Backend | None = None,
    silent: tuple[str, ...] = (),
) -> Plan:
    asked = asked or study((1, 2))
    told_all = ask_facts(trim(cluster(4), asked), ScriptedLauncher(having(folder, gpus)))
    nodes = (
        replace(n, herd_gpu=herd_gpu, away="gone" if n.name in silent else None)
        for n in told_all.nodes
    )
    return make_plan(asked, Cluster(tuple(nodes)))


def reason(plan: Plan, nodes: int) -> str | None:
    (cell,) = (cell for cell in plan.cells if cell.params["nodes"] == nodes)
    return cell.unavailable


def measured(
    folder: Path, the_world: World, asked: Matrix | None = None
) -> tuple[RunResult, list[AttemptRecord]]:
    result = run_on(
        asked or study(),
        cluster(2),
        ScriptedLauncher(the_world),
        folder / "results",
        progress=LineProgress(Console(quiet=True)),
    )
    attempts = sorted((result.folder / "attempts").iterdir())
    return result, [load_attempt(path) for path in attempts]


# -- what can run


@gpu_engine
def test_each_node_with_a_gpu_computes_on_it_and_the_others_on_their_cpu(tmp_path: Path) -> None:
    plan = planned(tmp_path, PC)

    assert [cell.unavailable for cell in plan.cells] == [None, None]
    of_two = next(cell for cell in plan.by_id.values() if cell.nodes == 2)
    assert list(gpus_in(of_two, plan.cluster)) == ["pi1"]
    deployment = ENGINE.deploy(of_two, plan.cluster)
    assert deployment.root.gpu == "vulkan"
    assert [worker.gpu for worker in deployment.workers] == [None]


@gpu_engine
def test_a_cell_on_cpus_uses_no_gpu(tmp_path: Path) -> None:
    plan = planned(tmp_path, PC, study((2,), ("cpu",)))

    (cell,) = plan.by_id.values()
    assert gpus_in(cell, plan.cluster) == {}
    assert ENGINE.deploy(cell, plan.cluster).root.gpu is None


@gpu_engine
def test_naming_the_cpu_changes_no_id(tmp_path: Path) -> None:
    plain = matrix(axes={**matrix().axes, "nodes": (1,), "workers": ("fresh",)})
    named = study((1,), ("cpu",))

    assert plan_id(plain, cluster(2)) == plan_id(named, cluster(2))
    before, after = planned(tmp_path, {}, plain), planned(tmp_path, {}, named)
    assert [cell.cell_id for cell in before.cells] == [cell.cell_id for cell in after.cells]
    assert plan_id(study((1,), ("gpu",)), cluster(2)) != plan_id(named, cluster(2))


def test_an_engine_without_gpus_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(ENGINE), "devices", ("cpu",))

    assert reason(planned(tmp_path, PC), 1) == "distributed-llama has no device gpu, only cpu"


@gpu_engine
def test_without_any_gpu_the_reason_names_each_node_and_what_to_do(tmp_path: Path) -> None:
    assert reason(planned(tmp_path, {}), 2) == (
        "no GPU is set up for distributed-llama on pi1, pi2: if it has one, write "
        "`herd_gpu: vulkan` or `herd_gpu: cuda` for it in the inventory, then run "
        "`ansible-playbook provision.yml -K --tags distributed_llama --limit pi1,pi2`"
    )


@gpu_engine
def test_where_the_inventory_gives_a_gpu_that_the_engine_was_not_built_for_prepare_helps(
    tmp_path: Path,
) -> None:
    plan = planned(tmp_path, {}, study((2,)), herd_gpu="cuda")

    why = reason(plan, 2)
    assert why is not None
    assert "the inventory says `herd_gpu: cuda`, so run `ansible-playbook" in why
    lacks = lacks_of(plan.by_id.values(), plan.cluster)
    assert lacks.engines == {"distributed-llama": ("pi1", "pi2")}


@gpu_engine
def test_what_only_the_inventory_can_say_is_nothing_for_prepare(tmp_path: Path) -> None:
    plan = planned(tmp_path, {})

    assert not lacks_of(plan.by_id.values(), plan.cluster)


@gpu_engine
def test_a_gpu_that_does_not_work_is_never_replaced_by_the_cpu(tmp_path: Path) -> None:
    plan = planned(tmp_path, {"pi1": told(), "pi2": BROKEN})

    assert reason(plan, 1) is None
    assert reason(plan, 2) == "the GPU of pi2 cannot be used: libvulkan.so.1 is not installed"


@gpu_engine
def test_a_gpu_of_the_inventory_that_the_engine_was_not_built_for_is_never_replaced_either(
    tmp_path: Path,
) -> None:
    """The build for it may have failed: provisioning then leaves the programs for the CPU."""
    why = reason(planned(tmp_path, PC, herd_gpu="vulkan"), 2)

    assert why == (
        "no GPU is set up for distributed-llama on pi2: the inventory says `herd_gpu: vulkan`, so "
        "run `ansible-playbook provision.yml -K --tags distributed_llama --limit pi2`"
    )


@gpu_engine
def test_where_none_works_all_nodes_are_told(tmp_path: Path) -> None:
    why = reason(planned(tmp_path, {"pi1": BROKEN}), 2)

    assert why is not None
    assert why.startswith("the GPU of pi1 cannot be used: libvulkan.so.1 is not installed; no GPU")
    assert "on pi2: if it has one" in why


@gpu_engine
def test_a_gpu_that_is_too_small_is_told_with_what_is_free(tmp_path: Path) -> None:
    small = told(devices=[device(memory_mib=4096, free_mib=20)])
    plan = planned(tmp_path, {"pi1": small}, study((1,)))
    (cell,) = plan.by_id.values()
    (need,) = ENGINE.memory_on(cell, taking_part(cell, plan.cluster))

    assert need.gpu_mib > 20
    assert reason(plan, 1) == (f"pi1's GPU has 20 MiB free but would need about {need.gpu_mib} MiB")


@gpu_engine
def test_a_gpu_with_nothing_free_is_too_small_and_an_unknown_one_is_not(tmp_path: Path) -> None:
    full = told(devices=[device(free_mib=0)])
    unknown = told(devices=[device(memory_mib=0, free_mib=0)])

    assert "has 0 MiB free" in (reason(planned(tmp_path, {"pi1": full}), 1) or "")
    assert reason(planned(tmp_path, {"pi1": unknown}), 1) is None


@gpu_engine
def test_the_memory_of_a_node_counts_beside_that_of_its_gpu(tmp_path: Path) -> None:
    the_world = having(tmp_path, PC, available_mib=1)
    nodes = ask_facts(cluster(1), ScriptedLauncher(the_world))

    assert "pi1 has 1 MiB of memory free" in (make_plan(study(), nodes).cells[0].unavailable or "")


@gpu_engine
def test_a_cell_whose_node_with_the_gpu_is_away_waits(tmp_path: Path) -> None:
    plan = planned(tmp_path, PC, silent=("pi1",))

    assert [cell.unavailable for cell in plan.cells] == [None, None]
    assert [plan.waits_for(cell) for cell in plan.cells] == [("pi1",), ("pi1",)]


@gpu_engine
def test_a_cell_on_gpus_of_a_group_without_nodes_cannot_run() -> None:
    asked = matrix(axes={**study().axes, "group": ("pcs",)})

    (cell,) = make_plan(asked, Cluster(())).cells
    assert cell.unavailable == "it needs 1 node, but the group pcs has 0"


# -- what a plan shows


@gpu_engine
def test_a_plan_names_the_nodes_that_compute_on_gpus_and_what_is_free(tmp_path: Path) -> None:
    lines = describe(planned(tmp_path, {"pi1": told(), "pi2": SOFTWARE}, study((2,))))

    assert any("gpu on pi1 and pi2 (software)" in line for line in lines if "block" in line)
    (memory,) = (line for line in lines if "GPU " in line)
    assert f"/ 11000 of {RTX} (pi1)" in memory
    assert f"/ 11000 of {LLVMPIPE}, software (pi2)" in memory


# -- what computed


@gpu_engine
def test_an_attempt_keeps_which_gpus_computed(tmp_path: Path) -> None:
    result, attempts = measured(tmp_path, having(tmp_path, PC))

    assert result.counts["done"] == 2
    assert {one.devices["pi1"] for one in attempts} == {RTX}
    assert {one.software_devices for one in attempts} == {()}
    assert [process.gpu for process in attempts[0].processes] == ["vulkan"]


def test_software_is_kept_as_software(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computes_on_gpus(monkeypatch, lambda role: LLVMPIPE)

    _, attempts = measured(tmp_path, having(tmp_path, {"pi1": SOFTWARE}))

    assert attempts[0].devices == {"pi1": LLVMPIPE}
    assert attempts[0].software_devices == ("pi1",)


def test_a_log_that_names_no_gpu_fails_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computes_on_gpus(monkeypatch, lambda role: None)

    result, attempts = measured(tmp_path, having(tmp_path, PC))

    assert result.counts["failed"] == 2
    assert {one.outcome for one in attempts} == {"failed"}
    assert attempts[0].cause == (
        "pi1 was asked to compute on its GPU, but the log of its root names none"
    )
    assert attempts[0].devices == {}


def test_a_worker_that_got_nothing_to_compute_fails_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computes_on_gpus(monkeypatch, lambda role: RTX if role == "root" else None)
    idle = lambda self, role, out, err: frozenset({0})  # noqa: E731
    monkeypatch.setattr(type(PARSER), "idle_workers", idle)

    result, attempts = measured(tmp_path, having(tmp_path, PC), study((2,)))

    assert result.counts["failed"] == 2
    assert attempts[0].cause == (
        "pi2 got no layers to compute, so it took no part: give it some with the axis shares"
    )
    assert attempts[0].devices == {"pi1": RTX}


@gpu_engine
def test_a_log_of_a_cpu_that_names_a_gpu_fails_the_attempt(tmp_path: Path) -> None:
    result, attempts = measured(tmp_path, having(tmp_path, PC), study((2,)))

    assert result.counts["failed"] == 2
    assert attempts[0].cause == (
        f"pi2 was asked to compute on its CPU, but the log of its worker names the GPU {RTX}"
    )


def test_a_cell_on_gpus_of_which_no_process_sees_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = type(ENGINE).deploy
    computes_on_gpus(monkeypatch, lambda role: None)
    monkeypatch.setattr(
        type(ENGINE),
        "deploy",
        lambda self, cell, nodes: deploy(
            self, replace(cell, params={**cell.params, "device": "cpu"}), nodes
        ),
    )

    _, attempts = measured(tmp_path, having(tmp_path, PC))

    assert attempts[0].cause == "none of its processes was started for a GPU"


def test_a_parser_that_raises_is_a_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(role: str) -> str:
        raise RecursionError(role)

    computes_on_gpus(monkeypatch, raising)

    _, attempts = measured(tmp_path, having(tmp_path, PC))

    assert "the log of the root on pi1 cannot be read (RecursionError" in str(attempts[0].cause)


def test_a_reused_worker_is_known_by_the_beginning_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computes_on_gpus(monkeypatch)
    read: list[bytes] = []

    def kept(self: object, role: str, out: bytes, err: bytes) -> str | None:
        if role == "worker":
            read.append(out)
        return RTX if role == "root" or b"GPU here" in out else None

    monkeypatch.setattr("collect.parsers.distributed_llama._DistributedLlama.computed_on", kept)
    logs = iter([b"GPU here\n", b"more\n", b"and more\n", b""])
    monkeypatch.setattr(ScriptedConversation, "_worker_log", lambda self: next(logs))

    result, _ = measured(
        tmp_path, having(tmp_path, {"pi1": told(), "pi2": told()}), study((2,), workers="kept")
    )

    assert result.counts["done"] == 2
    assert read == [b"GPU here\nmore\n", b"GPU here\nand more\n"]


def test_a_start_names_the_gpu_and_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computes_on_gpus(monkeypatch, lambda role: RTX if role == "root" else None)
    sent: list[tuple[str, dict[str, str]]] = []
    send = ScriptedConversation.send

    def heard(self, request):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        sent.append((request.verb, dict(request.fields)))
        send(self, request)

    monkeypatch.setattr(ScriptedConversation, "send", heard)
    result, _ = measured(tmp_path, having(tmp_path, PC), study((2,)))

    assert result.counts["done"] == 2
    runs = [fields for verb, fields in sent if verb == "run"]
    assert {(one["gpu"], one["gpu_index"]) for one in runs} == {("vulkan", "0")}
    assert not any("gpu" in fields for verb, fields in sent if verb == "start")


# -- the same run


@gpu_engine
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "another"}, f"vulkan GPU of pi1 is now another, and was {RTX}"),
        ({"driver": "581.0"}, "vulkan GPU driver of pi1 is now 581.0, and was 580.1"),
    ],
)
def test_a_run_does_not_go_on_with_another_gpu_or_driver(
    tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    the_world = having(tmp_path, PC)
    the_world.on_root = _stop_after_first
    with pytest.raises(_StoppedError):
        measured(tmp_path, the_world)

    with pytest.raises(HerdError) as caught:
        measured(tmp_path, having(tmp_path, {"pi1": told(devices=[device(**changed)])}))

    assert words in str(caught.value)
    result, _ = measured(tmp_path, having(tmp_path, PC))
    assert result.counts["done"] == 2


class _StoppedError(BaseException):
    """The runner ends here."""


def _stop_after_first(unit: str) -> None:
    if "-r2-" in unit:
        raise _StoppedError


@gpu_engine
def test_a_run_goes_on_when_only_free_memory_differs(tmp_path: Path) -> None:
    first, _ = measured(tmp_path, having(tmp_path, {"pi1": BROKEN}))
    assert first.counts["unavailable"] == 2

    second, _ = measured(tmp_path, having(tmp_path, {"pi1": told(devices=[device(free_mib=900)])}))

    assert second.folder == first.folder
    assert second.counts["done"] == 2
    (later,) = (second.folder / "later").iterdir()
    assert json.loads(later.read_text())["nodes"]["pi1"]["vulkan GPU"] == RTX
