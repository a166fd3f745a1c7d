"""GPUs that are there and of no use: broken, too small, not allowed, or not used.

Nothing of this may end on the CPU without a word.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import HerdError
from core.paths import MODELS_FOLDER
from experiments.engines import ENGINES
from experiments.nodes.launcher import Request, ask
from experiments.planning.plan import make_plan
from tests.doubles.lab_run import run
from tests.lab.gpu_lab import (
    DRIVER,
    GPU_FIRST,
    GPU_THIRD,
    LLAMA,
    MEMORY_MIB,
    asked,
    changed,
    of,
    planned,
    pretend,
    reasons,
    record,
    study,
    whole,
)
from tests.lab.runs import attempts, launcher, owning
from tests.lab.virtual_lab import VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

THIRD = study(group=("third",), nodes=(1,), device=("gpu",))
BROKEN = '{"ICD": {"api_version": "1.3.230", "library_path": "/nowhere.so"}}'
LARGE = "synthetic:dim=4096,hidden=8192,layers=4,heads=32,vocab=4096,context=512"
"""3.4 GB in f32: more than a software GPU has (2 GiB), less than the node."""


def test_a_driver_that_cannot_be_loaded_leaves_the_cell_unavailable(gpu_lab: VirtualLab) -> None:
    assert reasons(planned(gpu_lab, THIRD)) == [None]
    with changed(gpu_lab, GPU_THIRD, DRIVER, BROKEN):
        (reason,) = reasons(planned(gpu_lab, THIRD))
        broken = next(node for node in asked(gpu_lab).nodes if node.name == GPU_THIRD)
    assert reason is not None
    assert GPU_THIRD in reason
    assert broken.gpus["vulkan"].reason is not None
    assert broken.gpus["vulkan"].reason in reason


def test_a_broken_gpu_is_refused_with_another_that_works_in_the_cell(
    gpu_lab: VirtualLab,
) -> None:
    """Never silently one GPU and one CPU where two GPUs were asked for."""
    with changed(gpu_lab, GPU_THIRD, DRIVER, BROKEN):
        (reason,) = reasons(planned(gpu_lab, study(group=("pair",), nodes=(2,), device=("gpu",))))
    assert reason is not None
    assert GPU_THIRD in reason
    assert GPU_FIRST not in reason


def test_a_model_that_is_too_large_for_the_gpu_alone_is_refused_there_alone(
    gpu_lab: VirtualLab,
) -> None:
    matrix = study(model=(LARGE,), nodes=(1,))
    cluster = asked(gpu_lab)
    root = cluster.root
    if root.gpus["vulkan"].memory_mib > MEMORY_MIB:
        pytest.skip("this Mesa takes the memory of the whole machine for that of its GPU")
    file = ENGINES["llama.cpp"].files(matrix.cells()[0])[0].removeprefix(f"{MODELS_FOLDER}/")
    there = {**root.model_sha256, file: "0" * 64}
    on_cpu, on_gpu = reasons(make_plan(matrix, pretend(cluster, root.name, model_sha256=there)))
    assert on_cpu is None
    assert on_gpu is not None
    assert f"{GPU_FIRST}'s GPU has" in on_gpu


def test_an_engine_whose_record_has_no_gpu_gets_none(gpu_lab: VirtualLab) -> None:
    """The node has the programs and the driver; what its role recorded decides."""
    path = f"{LLAMA}/install.json"
    recorded = gpu_lab.on(GPU_THIRD, f"cat {path}")
    assert '"gpu": "vulkan"' in recorded
    with changed(gpu_lab, GPU_THIRD, path, recorded.replace('"gpu": "vulkan"', '"gpu": null')):
        assert record(gpu_lab, GPU_THIRD, "llama.cpp")["gpu"] is None
        (reason,) = reasons(planned(gpu_lab, THIRD))
        assert reason is not None
        assert GPU_THIRD in reason
        node = next(one for one in whole(gpu_lab).nodes if one.name == GPU_THIRD)
        with launcher() as ssh, pytest.raises(HerdError, match="was built for vulkan"):
            ask(owning(ssh, node), _look("vulkan"))


def test_the_helper_refuses_another_interface_than_the_one_that_was_installed(
    gpu_lab: VirtualLab,
) -> None:
    node = next(one for one in whole(gpu_lab).nodes if one.name == GPU_THIRD)
    with launcher() as ssh:
        conversation = owning(ssh, node)
        for other in ("cuda", "opencl", "../dri"):
            with pytest.raises(HerdError, match=f"Asking {GPU_THIRD} to run"):
                ask(conversation, _look(other))
        assert ask(conversation, _look("vulkan")).ok


def test_an_engine_that_computes_on_the_cpu_although_it_was_given_the_gpu_has_failed(
    gpu_lab: VirtualLab, tmp_path: Path
) -> None:
    """The programs for the GPU are those for the CPU: they run, and answer right."""
    programs = f"{LLAMA}/bin"
    swap = "cd {0} && for p in *-vulkan; do mv $p $p.kept; ln -s ${{p%-vulkan}} $p; done"
    back = "cd {0} && for p in *-vulkan; do rm $p; mv $p.kept $p; done"
    gpu_lab.on(GPU_THIRD, swap.format(programs))
    try:
        result = run(gpu_lab.inventory, tmp_path, THIRD)
    finally:
        gpu_lab.on(GPU_THIRD, back.format(programs))
    failed = [trial for trial in of(result).trials if trial.state == "failed"]
    assert (result.counts["failed"], result.counts["done"]) == (2, 0), result.notes
    assert all("GPU" in str(trial.reason) for trial in failed)
    assert {one.outcome for one in attempts(tmp_path)} == {"failed"}


def _look(gpu: str) -> Request:
    """Have the engine start with a GPU, without a model."""
    argv = (f"{LLAMA}/bin/llama-bench-vulkan", "--output", "jsonl")
    fields = (("unit", "herd-look"), ("deadline", "20"), ("gpu", gpu), ("gpu_index", "0"))
    return Request("run", (*fields, *(("arg", word) for word in argv)))
