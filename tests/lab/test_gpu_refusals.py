"""GPUs that are there and of no use: broken, too small, not allowed, or not used.

Nothing of this may end on the CPU without a word.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.nodes.launcher import Request, ask
from tests.doubles.lab_run import run
from tests.lab.gpu_lab import (
    DRIVER,
    GPU_FIRST,
    GPU_THIRD,
    LLAMA,
    changed,
    of,
    planned,
    reasons,
    study,
    whole,
)
from tests.lab.runs import attempts, launcher, owning
from tests.lab.virtual_lab import VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

THIRD = study(group=("third",), nodes=(1,), device=("gpu",))
BROKEN = '{"ICD": {"api_version": "1.3.230", "library_path": "/nowhere.so"}}'


def test_a_broken_gpu_is_refused_with_another_that_works_in_the_cell(
    gpu_lab: VirtualLab,
) -> None:
    """Never silently one GPU and one CPU where two GPUs were asked for."""
    with changed(gpu_lab, GPU_THIRD, DRIVER, BROKEN):
        (reason,) = reasons(planned(gpu_lab, study(group=("pair",), nodes=(2,), device=("gpu",))))
    assert reason is not None
    assert GPU_THIRD in reason
    assert GPU_FIRST not in reason


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
