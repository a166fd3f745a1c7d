"""What every engine states about itself, and that nothing it consists of is missing."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from collect.parsers.parser import parser_of
from core.paths import ENGINES_FOLDER, PROJECT_FOLDER
from experiments.engines import APIS, DEFAULT, ENGINES, ON_NODES, chat_server, parts
from experiments.engines.base import Axis, Cell, Process
from experiments.engines.engine import NodeEngine
from experiments.planning.axes import axis_problems
from tests.doubles.workloads import WORKLOADS
from tests.unit.test_engines import cell, cluster


def numbers(ports: str) -> range:
    first, _, last = ports.partition("-")
    return range(int(first), int(last or first) + 1)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_is_whole(name: str) -> None:
    engine = ENGINES[name]

    assert parts.incomplete(engine) is None
    assert engine.slug == type(engine).__module__.rpartition(".")[2], "the file has its name"
    assert set(engine.workloads) <= WORKLOADS.keys()
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
    assert told["llama.cpp"]["flags"] == ["--no-jinja", "--verbose"]
    assert told["petals"]["wish"] == "herd_petals"
    assert told["petals"]["reads_model_on_every_node"] is True
    assert told["llama.cpp"]["ports"] == ["50052-50061"]


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


def deployed(name: str) -> Iterator[Process]:
    """Every process that an engine asks for, over its workloads, values of its axes and nodes."""
    engine = ON_NODES[name]
    for kind in engine.workloads:
        for axis in (None, *engine.axes):
            for value in axis.values or (0, 2) if axis else (None,):
                changed = {axis.name: value} if axis else {}
                for nodes in (1, 2):
                    one = Cell(cell(name, nodes=nodes, **changed).params, WORKLOADS[kind])
                    if engine.check(one, cluster()) is None:
                        deployment = engine.deploy(one, cluster())
                        yield from filter(
                            None, (*deployment.workers, deployment.server, deployment.root)
                        )


@pytest.mark.parametrize("name", ON_NODES)
def test_whatever_is_deployed_is_among_the_options_and_ports_of_the_record(name: str) -> None:
    engine = ON_NODES[name]
    guarded = [*map(numbers, engine.ports), range(chat_server.PORT, chat_server.PORT + 1)]
    processes = list(deployed(name))

    assert {process.role for process in processes} >= {"root", "worker"}
    for process in processes:
        if process.role == "client":
            continue
        text = False  # what follows `--prompt` is a text and may look like an option
        for word in process.argv[1:]:
            is_option = word.startswith("--") and not text
            text = is_option and word in engine.texts
            assert not is_option or word in {*engine.options, *engine.flags, *engine.texts}, word
        program = next(word for word in process.argv if word.startswith(ENGINES_FOLDER))
        assert program.startswith(f"{ENGINES_FOLDER}/{name}/bin/")
        port = process.listen_port
        assert port is None or any(port in ports for ports in guarded), f"{port} is not in `ports`"


@pytest.mark.parametrize("name", ON_NODES)
def test_every_role_describes_its_variables(name: str) -> None:
    role = PROJECT_FOLDER / "roles" / ON_NODES[name].slug
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())

    assert defaults.keys() == specs["argument_specs"]["main"]["options"].keys()
    assert parser_of(name) is not None


# Who knows engines by name outside their own files, and why it may.
THEIRS = ("llama.cpp", "distributed-llama", "petals")
KNOWING = {
    "analysis/verdict/caveats.py": "Petals' own caveat",
    "analysis/cells/token_times.py": "distributed-llama's whole milliseconds",
    "collect/parsers/dllama_source.py": "logs of another engine are refused by name",
    "experiments/doctor/checks/advice.py": "how Petals' Python comes onto a node",
    "experiments/doctor/proofs.py": "PyTorch is proved in Petals' environment",
    "experiments/doctor/probe/pythons.py": "the Python package of that name",
    "roles/node_base/files/herd_node/allowed.py": "Petals needs calls that no other engine gets",
}


def test_no_code_lists_engines_by_name() -> None:
    own = {engine.slug for engine in ON_NODES.values()}
    found = {}
    for folder in ("analysis", "collect", "core", "experiments", "models", "roles", "inventory"):
        for path in (PROJECT_FOLDER / folder).rglob("*.py"):
            place = path.relative_to(PROJECT_FOLDER)
            words = {
                node.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and node.value in THEIRS
            }
            if words and path.stem not in own and not own & set(place.parts):
                found[str(place)] = words

    assert {place: words for place, words in found.items() if place not in KNOWING} == {}


def test_no_play_lists_engines_by_name() -> None:
    lines = []
    for folder in ("roles", "playbooks"):
        for path in (PROJECT_FOLDER / folder).rglob("*.yml"):
            for line in path.read_text().splitlines():
                code = line.partition("#")[0]
                if sum(name in code or name.replace("-", "_") in code for name in THEIRS) > 1:
                    lines.append(f"{path.relative_to(PROJECT_FOLDER)}: {line}")
    assert lines == []
