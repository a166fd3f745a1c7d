"""The gate of correctness end to end: the real llama.cpp against the reference, and a wrong one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from analysis.agreement.report import Agreed, agreed
from analysis.report import write_report
from collect.load import load_run
from collect.reference import REFERENCE_FILE
from collect.tables import build_tables
from collect.workloads import Greedy
from experiments.planning.matrix import Matrix
from experiments.runner import RunResult
from tests.doubles.lab_run import MODEL, run
from tests.lab.virtual_lab import VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

STUDY = Matrix(
    title="Agreement",
    workload=Greedy(prompts=("Hello there", "1 2 3"), positions=24, text="A quick brown fox."),
    axes={
        "engine": ("llama.cpp",),
        "model": (MODEL,),
        "weights": ("f32",),
        "nodes": (1, 2),
        "split_mode": ("layer", "tensor"),
        "threads": (1,),
    },
    repeats=3,
    warmup=0,
    file="agreement.yml",
)


@pytest.fixture(scope="module")
def asked(lab: VirtualLab, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(lab.inventory, tmp_path_factory.mktemp("results"), STUDY)


def held_against_the_reference(folder: Path) -> Agreed:
    found = agreed(load_run(folder), build_tables(folder), folder)
    assert found is not None
    return found


def test_one_node_and_two_say_what_the_reference_says(asked: RunResult, tmp_path: Path) -> None:
    assert (asked.counts["done"], asked.counts["unavailable"]) == (6, 6), asked.notes
    found = held_against_the_reference(asked.folder)
    assert not found.is_wrong, found.sentences
    judged = found.cells[found.cells["judgement"] == "agrees"]
    assert list(judged["nodes"]) == [1, 2]
    assert list(judged["texts_equal"]) == [2, 2]
    assert (judged["mean_change"] < 1e-4).all()
    report = write_report(asked.folder, tmp_path)
    assert report.verdict.startswith("With 32-bit weights every text matches the reference")


def test_a_reference_that_says_otherwise_would_be_noticed(asked: RunResult, tmp_path: Path) -> None:
    """The comparison is of what was really said: one other token, one other probability."""
    folder = shutil.copytree(asked.folder, tmp_path / asked.folder.name)
    said = json.loads((asked.folder / REFERENCE_FILE).read_text())
    for part in ("continuations", "scored"):
        (folder / REFERENCE_FILE).write_text(json.dumps(_changed(said, part)))
        found = held_against_the_reference(folder)
        assert found.is_wrong, part
        assert len(found.sentences) == 2, "one for each number of nodes"


def _changed(said: Mapping[str, object], part: str) -> object:
    copy = json.loads(json.dumps(said))
    says = copy["models"][MODEL]["f32"]
    if part == "scored":
        says["scored"][0] += 0.01
    else:
        says["continuations"][0]["pieces"][5] = " never said"
    return copy
