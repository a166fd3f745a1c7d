"""What every engine states about itself, and that nothing it consists of is missing."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from collect.run import Benchmark, Greedy, Perplexity, Questions
from core.paths import PROJECT_FOLDER
from experiments.engines import APIS, DEFAULT, ENGINES, ON_NODES, parts
from experiments.engines.base import Axis
from experiments.engines.engine import NodeEngine
from experiments.planning.axes import axis_problems

KINDS = {
    workload.model_fields["kind"].default for workload in (Benchmark, Perplexity, Questions, Greedy)
}


def numbers(ports: str) -> range:
    first, _, last = ports.partition("-")
    return range(int(first), int(last or first) + 1)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_is_whole(name: str) -> None:
    engine = ENGINES[name]

    assert parts.incomplete(engine) is None
    assert engine.slug == type(engine).__module__.rpartition(".")[2], "the file has its name"
    assert set(engine.workloads) <= KINDS
    page = PROJECT_FOLDER / parts.parts(engine)["page"]
    assert name in page.read_text() or engine.page == "compare"


def test_a_matrix_that_names_no_engine_means_one() -> None:
    assert [name for name, engine in ON_NODES.items() if engine.is_default] == [DEFAULT]
    assert not set(APIS) & set(ON_NODES)


@pytest.mark.parametrize("name", ON_NODES)
def test_what_a_helper_is_told_of_an_engine_is_unambiguous(name: str) -> None:
    engine = ON_NODES[name]
    words = (*engine.options, *engine.flags, *engine.texts)

    assert len(words) == len(set(words))
    assert all(re.fullmatch("--[a-z][a-z-]*", word) for word in words)
    assert all(re.fullmatch(r"\d+(-\d+)?", ports) and numbers(ports) for ports in engine.ports)


@pytest.mark.parametrize(("one", "other"), list(combinations(ON_NODES, 2)))
def test_ports_of_two_engines_are_the_same_or_apart(one: str, other: str) -> None:
    for mine in ON_NODES[one].ports:
        for others in ON_NODES[other].ports:
            assert mine == others or not set(numbers(mine)) & set(numbers(others))


def test_ansible_is_told_in_one_line_of_json() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "experiments.engines"],
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    told = {engine["name"]: engine for engine in json.loads(printed)}
    assert printed.count("\n") == 1
    assert set(told) == set(ON_NODES)
    assert told["llama.cpp"]["role"] == "llama_cpp"
    assert told["llama.cpp"]["flags"] == ["--no-jinja"]
    assert told["petals"]["wish"] == "herd_petals"
    assert told["petals"]["reads_model_on_every_node"] is True
    assert {ports for engine in told.values() for ports in engine["ports"]} == {
        "9990-9999",
        "50052-50061",
    }


class Half(NodeEngine):
    """An engine of which only the module was written."""

    name = "half.cpp"
    about = "half of an engine"
    workloads = ("benchmark",)
    ports = ("9000",)
    options = ("--model",)
    memory = deploy = None  # type: ignore[assignment]


def test_an_engine_that_is_not_whole_is_refused_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {**ENGINES, "half.cpp": Half()}
    monkeypatch.setattr("experiments.planning.axes.ENGINES", known)
    axis = Axis("engine", str, default=DEFAULT, values=tuple(known))
    monkeypatch.setattr("experiments.planning.axes.known_axes", lambda: {"engine": (axis,)})

    [(where, told)] = axis_problems({"engine": ("half.cpp",)})

    assert where == ("engine", 0)
    assert told == (
        "half.cpp is incomplete. It has no parser (collect/parsers/half_cpp.py), "
        "no role (roles/half_cpp/tasks/main.yml), no page (docs/half-cpp.md), "
        "no `format` in experiments/engines/half_cpp.py. See docs/adding-an-engine.md"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    told = str(parts.incomplete(ENGINES["petals"], tmp_path))

    assert told.count("no ") == 3
    assert "roles/petals/tasks/main.yml" in told
