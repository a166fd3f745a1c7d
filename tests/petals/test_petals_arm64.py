"""Petals on an emulated arm64 node: other packages than on amd64, and the same text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.agreement.report import agreed
from collect.load import load_run
from collect.tables import build_tables
from collect.workloads import Greedy
from experiments.planning.matrix import Matrix
from tests.doubles.lab_run import run
from tests.lab.emulation import why_no_emulation
from tests.lab.virtual_lab import VirtualLab
from tests.petals.conftest import MODEL, MODELS

STUDY = Matrix(
    title="Petals on arm64",
    workload=Greedy(
        prompts=("Once upon a time",),
        positions=24,
        text="Once upon a time, there was a little girl named Lily.",
    ),
    axes={
        "engine": ("petals",),
        "model": (MODEL,),
        "nodes": (1,),
        "weights": ("f32",),
        "threads": (2,),
    },
    repeats=2,
    warmup=0,
    max_attempts=1,
    file="petals.yml",
)


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualLab]:
    """One node, which takes twenty times as long as a real one."""
    settings = {"lab_arm64": 1, "lab_memory_mib": 4096, "lab_cpus": 2}
    made = VirtualLab(tmp_path_factory.mktemp("arm64"), "pem", "10.98.0.0/24", 1, settings)
    try:
        raised = made.up()
        reason = why_no_emulation(raised.output) if raised.code else None
        if reason is not None:
            pytest.skip(f"no arm64 nodes here: {reason}")
        assert raised.code == 0, raised.output
        made.provision("--tags=base,petals,models", herd_petals=True, herd_models=MODELS)
        yield made
    finally:
        made.down()


def test_an_arm64_node_says_what_the_reference_says(emulated: VirtualLab, tmp_path: Path) -> None:
    result = run(emulated.inventory, tmp_path, STUDY)
    assert result.counts["done"] == 2, result.notes
    found = agreed(load_run(result.folder), build_tables(result.folder), result.folder)
    assert found is not None
    assert not found.is_wrong, found.sentences
    assert list(found.cells["texts_equal"].dropna()) == [1]
