"""A run says how its fine-tuned models were made, and does not go on with another training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collect.run import RunManifest
from collect.workloads import Benchmark
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.engines import ON_NODES
from experiments.engines.common import model_spec
from experiments.fleet.cluster import Cluster, Installation, Node
from experiments.planning.manifest import run_manifest
from experiments.planning.matrix import Matrix
from experiments.planning.plan import Plan, make_plan
from experiments.planning.systems import load_systems
from experiments.sessions.again import look_again
from models.build import artifact_file_names
from tests.tuned_models import BASE, tuned_here, tuned_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "cache"))
    tuned_model(tmp_path / "tuned")
    with tuned_here(tmp_path / "tuned") as here:
        yield here


def plan(*models: str) -> Plan:
    """A plan for a node that has the files of these models as they are now."""
    engine = ON_NODES["llama.cpp"]
    names = [artifact_file_names(model_spec(one), engine.format, "q8_0")["model"] for one in models]
    node = Node(
        name="pi1",
        address="192.0.2.1",
        engine_address="10.0.0.1",
        cores=4,
        memory_mib=4096,
        engines={"llama.cpp": Installation("llama.cpp", installed=True, version="1")},
        model_sha256={"/".join(name.split("/")[-2:]): "ab" * 32 for name in names},
    )
    axes = {"engine": ("llama.cpp",), "model": models, "nodes": (1,), "weights": ("q8_0",)}
    matrix = Matrix(title="t", workload=Benchmark(), axes=axes, repeats=2, file="t.yml")
    return make_plan(matrix, Cluster((node,)))


def manifest(of: Plan) -> RunManifest:
    return run_manifest(of, "run", (), "")


def test_a_run_records_how_each_of_its_tuned_models_was_made(folder: Path) -> None:
    run = manifest(plan(BASE, "tales", "tales+kv16"))
    assert [cell.unavailable for cell in run.cells] == [None] * 3
    assert set(run.tuned) == {"tales"}
    assert run.tuned["tales"].parentage.base == BASE
    assert RunManifest.model_validate_json(run.model_dump_json()) == run
    assert not manifest(plan(BASE)).tuned


def test_it_does_not_go_on_with_a_model_that_was_trained_again(folder: Path) -> None:
    before = manifest(plan(BASE, "tales"))
    ids = {cell.cell_id for cell in before.cells}
    assert look_again(before, ids, ids, plan(BASE, "tales")).later.is_empty
    with tuned_here(folder):
        tuned_model(folder, seed=2)
        with pytest.raises(HerdError, match="the fine-tuned model tales is another one"):
            look_again(before, ids, ids, plan(BASE, "tales"))


def test_files_of_an_earlier_training_are_not_taken_for_those_of_a_later_one(folder: Path) -> None:
    earlier = plan("tales").cluster
    with tuned_here(folder):
        tuned_model(folder, seed=2)
        (cell,) = make_plan(plan("tales").matrix, earlier).cells
        assert cell.unavailable is not None
        assert cell.unavailable.endswith("is not on pi1")


def test_a_system_with_a_model_that_is_not_there_matters_when_it_is_asked_for(
    folder: Path,
) -> None:
    systems = load_systems(PROJECT_FOLDER / "experiments" / "systems.yml")
    assert systems.get("lab-llama-cpp").model == "smollm2-135m"
    asked = "lab-tuned-llama-cpp"
    model = systems.systems[asked].model
    with pytest.raises(HerdError, match=f"{asked} runs {model}. The catalogue has no model"):
        systems.get(asked)
    tuned_model(folder, model)
    assert systems.get(asked).model == model


def test_a_run_records_how_the_adapters_of_its_cells_were_made(folder: Path) -> None:
    of = plan(BASE)
    for name, known in (("tales", {"tales"}), ("lost", set()), ("none", set())):
        cells = tuple(
            cell.model_copy(update={"params": {**cell.params, "adapter": name}})
            for cell in of.cells
        )
        assert set(manifest(replace(of, cells=cells)).tuned) == known
