"""Ids last: those of runs on disk stay what they were when the toolkit gains an axis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pytest

from analysis.report import write_report
from collect.account import Account
from collect.workloads import Benchmark, Greedy, Perplexity, Workload
from core.paths import PROJECT_FOLDER
from core.record import BornAs
from experiments.engines import ON_NODES
from experiments.engines.base import Axis
from experiments.fleet.cluster import Cluster, Installation, Node
from experiments.planning.identity import content, digest
from experiments.planning.matrix import Matrix, load_matrix
from experiments.planning.plan import make_plan
from tests.doubles.scripted_run import run, world

STORED = Path(__file__).parents[1] / "data" / "identities.json"
WORKLOADS: dict[str, Workload] = {
    "benchmark": Benchmark(),
    "perplexity": Perplexity(text="experiments/texts/alice.txt"),
    "greedy": Greedy(prompts=("Once upon a time",), text="Once there was a girl"),
}


def cluster() -> Cluster:
    engines = {
        name: Installation(name, installed=True, version="1", binary_sha256={"program": "ab"})
        for name in ("distributed-llama", "llama.cpp", "petals")
    }
    return Cluster(
        tuple(
            Node(
                name=f"pi{number}",
                address=f"192.0.2.{number}",
                engine_address=f"10.0.0.{number}",
                cores=4,
                memory_mib=4096,
                engines=engines,
            )
            for number in (1, 2, 3, 4)
        )
    )


def matrix(kind: str) -> Matrix:
    return Matrix(
        title=kind,
        workload=WORKLOADS[kind],
        axes={
            "engine": ("distributed-llama", "llama.cpp", "petals"),
            "nodes": (1, 2, 4),
            "weights": ("f32", "q4_0"),
            "link_mbit": (0, 100),
            "threads": (0, 2),
        },
        repeats=2 if kind == "greedy" else 6,
    )


def ids(kind: str) -> dict[str, object]:
    plan = make_plan(matrix(kind), cluster())
    return {"plan": plan.plan_id, "cells": sorted(cell.cell_id for cell in plan.cells)}


@pytest.mark.parametrize("kind", WORKLOADS)
def test_ids_of_before_are_those_of_today(kind: str) -> None:
    assert ids(kind) == json.loads(STORED.read_text())[kind]


ADDED = Axis("cache_type", str, default="f16", values=("f16", "q8_0"), born_as="f16")


def test_an_axis_that_is_added_changes_no_id_at_the_value_it_was_added_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = type(ON_NODES["llama.cpp"])
    monkeypatch.setattr(engine, "axes", (*engine.axes, ADDED))

    assert ids("benchmark") == json.loads(STORED.read_text())["benchmark"]

    other_default = Axis("cache_type", str, default="q8_0", values=ADDED.values, born_as="f16")
    monkeypatch.setattr(engine, "axes", (*engine.axes[:-1], other_default))
    asked = matrix("benchmark")
    named = asked.model_copy(update={"axes": {**asked.axes, "cache_type": ("f16",)}})
    plan = make_plan(named, cluster())
    assert sorted(cell.cell_id for cell in plan.cells) == ids_of_before()
    assert ids("benchmark")["cells"] != ids_of_before(), "the default of now is another cell"


def ids_of_before() -> list[str]:
    stored: list[str] = json.loads(STORED.read_text())["benchmark"]["cells"]
    return stored


class Longer(Benchmark):
    """A benchmark that gained a field."""

    rounds: Annotated[int, BornAs(1)] = 1


def test_a_field_that_is_added_to_a_workload_changes_no_id_at_the_value_it_was_added_with() -> None:
    assert content(Longer()) == content(Benchmark())
    assert content(Longer(rounds=2)) == {**content(Benchmark()), "rounds": 2}


def test_questions_are_hashed_with_all_that_they_say() -> None:
    asked = load_matrix(PROJECT_FOLDER / "experiments/matrices/questions.yml").workload

    assert digest(content(asked)) == digest(asked.model_dump())


def test_an_unfinished_run_goes_on_though_its_engine_has_a_further_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots: list[str] = []

    def interrupt(unit: str) -> None:
        roots.append(unit)
        if len(roots) > 2:
            raise KeyboardInterrupt

    begun = run(tmp_path, world(tmp_path, on_root=interrupt))
    engine = type(ON_NODES["distributed-llama"])
    monkeypatch.setattr(engine, "axes", (*engine.axes, ADDED))

    result = run(tmp_path, world(tmp_path))

    assert begun.counts["pending"] > 0
    assert result.folder == begun.folder, "no other run was begun"
    assert result.counts["pending"] == 0
    assert Account.read(result.folder).counts()["done"] == result.counts["done"] == 4
    page = write_report(result.folder, tmp_path / "reports").index.read_text()
    assert "2 nodes" in page or "two nodes" in page
