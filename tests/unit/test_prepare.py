"""`fab prepare`: what a matrix lacks, the commands that bring it, and what is told at the end."""

from __future__ import annotations

import dataclasses
import json
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from collect.workloads import Benchmark
from core.errors import HerdError
from core.progress import SilentReporter
from experiments import prepare
from experiments.engines import ON_NODES
from experiments.fleet import commands
from experiments.fleet.cluster import Cluster, Installation, Node
from experiments.planning.compare import comparison
from experiments.planning.describe import describe
from experiments.planning.lacks import Wanted, lacks_of
from experiments.planning.matrix import Matrix
from experiments.planning.plan import make_plan
from experiments.prepare import have_models, prepare_on, run_ansible
from verbs.matrices import matrix_of
from verbs.runs import AGREEMENT_MATRIX

MODEL = "synthetic:tiny"
INVENTORY = "inventory/home.yml"
ENTRY = {"name": MODEL, "weights": ["f32"]}
ENGINES = ["llama.cpp", "distributed-llama"]


@pytest.fixture(autouse=True)
def _invocation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "cache"))
    with commands.remembered(INVENTORY, {"pi1": True, "pi2": False, "pi3": False, "pi4": False}):
        yield


def node(number: int, **told: object) -> Node:
    made = Node(
        name=f"pi{number}",
        address=f"192.0.2.{number}",
        engine_address=f"10.0.0.{number}",
        cores=4,
        memory_mib=4096,
    )
    return dataclasses.replace(made, **told)  # type: ignore[arg-type]


def bare(count: int) -> Cluster:
    return Cluster(tuple(node(number) for number in range(1, count + 1)))


def matrix(**axes: tuple[object, ...]) -> Matrix:
    made = Matrix(
        title="Study", workload=Benchmark(prompt_tokens=4, generate_tokens=4), file="study.yml"
    )
    usual = {"engine": ("llama.cpp",), "model": (MODEL,), "nodes": (1, 2), "weights": ("f32",)}
    return made.override(axes={**usual, **axes})  # type: ignore[dict-item]


class Fleet:
    """Nodes on which Ansible does what it is told, unless it cannot."""

    def __init__(self, cluster: Cluster, away: dict[str, str] | None = None) -> None:
        away = away or {}
        nodes = (dataclasses.replace(one, away=away.get(one.name)) for one in cluster.nodes)
        self.cluster = Cluster(tuple(nodes))
        self.played: list[dict[str, str]] = []
        self.said: list[str] = []
        self.refuses = False

    def look(self) -> Cluster:
        return self.cluster

    def play(self, argv: list[str]) -> int:
        flags = {"-K": str("-K" in argv)}
        flags |= {w: argv[i + 1] for i, w in enumerate(argv) if w in ("--tags", "--limit", "-i")}
        flags |= {"-e": " ".join(argv[i + 1] for i, w in enumerate(argv) if w == "-e")}
        self.played.append(flags)
        if not self.refuses:
            limit = flags["--limit"].split(",")
            nodes = [
                self._provided(one, flags) if one.name in limit else one
                for one in self.cluster.nodes
            ]
            self.cluster = Cluster(tuple(nodes))
        return int(self.refuses)

    def _provided(self, one: Node, flags: dict[str, str]) -> Node:
        tags = flags["--tags"].split(",")
        engines = {
            name: Installation(name, installed=True, version="1")
            for name, engine in ON_NODES.items()
            if engine.slug in tags
        }
        models = yaml.safe_load(flags["-e"].rpartition("herd_petals=true")[2] or "{}")
        files = {
            file: "ab"
            for entry in models.get("herd_models", [])
            for engine in entry["engines"]
            for weights in entry["weights"]
            for file in Wanted(engine, entry["name"], weights).files()
        }
        return dataclasses.replace(
            one, engines={**one.engines, **engines}, model_sha256={**one.model_sha256, **files}
        )

    def prepare(self, wanted: Matrix) -> bool:
        return prepare_on(wanted, self.look, self.play, self.said.append, SilentReporter(), "pi1")


def test_what_is_missing_is_told_put_there_and_not_put_there_again() -> None:
    fleet = Fleet(bare(2))
    wanted = matrix(engine=tuple(ENGINES), weights=("f32", "q4_0"))

    assert fleet.prepare(wanted)

    assert fleet.said[1] == "  llama.cpp on pi1, pi2"
    assert fleet.said[3] == "  synthetic:tiny f32 for llama.cpp (7 MiB) on pi1"
    assert fleet.said[-1] == "Everything that this matrix needs is installed."
    command = next(line for line in fleet.said if "ansible-playbook" in line)
    assert shlex.split(command) == [
        "ansible-playbook",
        "-i",
        INVENTORY,
        "provision.yml",
        "-K",
        "--tags",
        "llama_cpp,distributed_llama,models",
        "--limit",
        "pi1,pi2",
        "-e",
        json.dumps({"herd_models": [{**ENTRY, "weights": ["f32", "q4_0"], "engines": ENGINES}]}),
    ]
    assert len(fleet.played) == 1
    assert fleet.prepare(wanted)
    assert len(fleet.played) == 1


def test_each_node_gets_what_it_needs_and_no_more() -> None:
    fleet = Fleet(bare(4))

    assert fleet.prepare(matrix(engine=("petals",), nodes=(1, 2)))

    models = json.dumps({"herd_models": [{**ENTRY, "engines": ["petals"]}]})
    assert fleet.played == [
        {
            "-K": "True",
            "-i": INVENTORY,
            "--tags": "petals,models",
            "--limit": "pi1,pi2",
            "-e": f"herd_petals=true {models}",
        }
    ]
    assert not fleet.cluster.nodes[2].engines


def test_engines_on_different_nodes_are_different_commands() -> None:
    wide = matrix(engine=("llama.cpp",), nodes=(4,)).cells()
    narrow = matrix(engine=("petals",), nodes=(2,)).cells()

    steps = prepare.steps_of(lacks_of((*wide, *narrow), bare(4)), "pi1")

    assert [(step.nodes, step.engines) for step in steps] == [
        (("pi1", "pi2", "pi3", "pi4"), ("llama.cpp",)),
        (("pi1", "pi2"), ("petals",)),
    ]
    assert [[one.engine for one in step.models] for step in steps] == [["llama.cpp"], ["petals"]]


def test_what_only_the_root_lacks_is_asked_of_the_root_alone() -> None:
    engines = {"llama.cpp": Installation("llama.cpp", installed=True, version="1")}
    fleet = Fleet(Cluster((node(1, engines=engines), node(2, engines=engines))))

    assert fleet.prepare(matrix())

    assert [(one["--tags"], one["--limit"]) for one in fleet.played] == [("models", "pi1")]


def test_an_engine_of_two_versions_is_provided_anew_on_all_nodes() -> None:
    nodes = [
        node(n, engines={"llama.cpp": Installation("llama.cpp", installed=True, version=str(n))})
        for n in (1, 2)
    ]
    fleet = Fleet(Cluster(tuple(nodes)))

    assert fleet.prepare(matrix())
    assert [(one["--tags"], one["--limit"]) for one in fleet.played] == [
        ("llama_cpp,models", "pi1,pi2")
    ]


def test_an_engine_whose_record_lacks_its_options_is_provided_anew() -> None:
    older = Installation("llama.cpp", installed=True, version="1", arguments=frozenset())
    fleet = Fleet(Cluster((node(1, engines={"llama.cpp": older}),)))

    assert fleet.prepare(matrix(nodes=(1,)))
    assert [(one["--tags"], one["--limit"]) for one in fleet.played] == [
        ("llama_cpp,models", "pi1")
    ]


def test_nodes_that_are_away_are_named_and_the_others_prepared() -> None:
    fleet = Fleet(bare(2), {"pi2": "It does not answer at 192.0.2.2."})

    assert not fleet.prepare(matrix())

    assert fleet.said[0] == "pi2 is skipped. It does not answer at 192.0.2.2."
    assert [(one["--limit"], one["-K"]) for one in fleet.played] == [("pi1", "True")]
    assert fleet.said[-2:] == [
        "Still cannot run:",
        "  llama.cpp synthetic:tiny 2 nodes f32 fresh layer: it waits for pi2",
    ]


def test_without_the_root_its_models_wait_and_no_password_is_asked_for_elsewhere() -> None:
    fleet = Fleet(bare(2), {"pi1": "It is off."})

    assert not fleet.prepare(matrix())

    assert [(one["--tags"], one["--limit"], one["-K"]) for one in fleet.played] == [
        ("llama_cpp", "pi2", "False")
    ]


def test_nothing_is_fetched_for_cells_that_could_not_run_with_it() -> None:
    fleet = Fleet(Cluster((node(1, memory_mib=2), node(2, memory_mib=2))))

    assert fleet.prepare(matrix(engine=tuple(ENGINES)))

    assert not fleet.played
    assert fleet.said[0] == "Still cannot run:"
    assert "pi1 has 2 MiB of memory free" in fleet.said[1]


def test_a_model_that_cannot_be_had_ends_in_its_own_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gated = "llama2-7b-chat: it is gated: accept the licence and set HF_TOKEN."

    def refuse(spec: object, *_: object) -> None:
        if getattr(spec, "name", "") == "stories15m":
            raise HerdError(gated)

    monkeypatch.setattr(prepare, "ensure_artifact", refuse)
    fleet = Fleet(bare(1))

    assert not fleet.prepare(matrix(model=("stories15m", MODEL), nodes=(1,)))

    assert "stories15m" not in fleet.played[0]["-e"]
    assert fleet.said[-2:] == [
        "Still cannot run:",
        f"  llama.cpp stories15m 1 node f32 fresh layer: {gated}",
    ]


def test_what_ansible_could_not_do_is_told_with_the_reason_that_the_node_has() -> None:
    fleet = Fleet(bare(1))
    fleet.refuses = True

    assert not fleet.prepare(matrix(nodes=(1,)))

    assert "Ansible stopped early; see its messages above." in fleet.said
    assert fleet.said[-1].endswith("llama.cpp is not installed on pi1")


def test_the_published_files_that_a_reference_reads_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = matrix_of(AGREEMENT_MATRIX, [], {"nodes": "1", "model": "stories15m"}, None, None)
    lacks = lacks_of(wanted.cells(), bare(1))
    assert lacks.originals == ("stories15m",)

    def refuse(*_: object) -> None:
        raise HerdError("no source answers")

    monkeypatch.setattr(prepare, "open_checkpoint", refuse)
    monkeypatch.setattr(prepare, "ensure_artifact", lambda *_: None)
    assert have_models(lacks, SilentReporter()) == {"stories15m": "no source answers"}


def test_apis_need_no_node(tmp_path: Path) -> None:
    said: list[str] = []
    wanted = comparison(systems="chatgpt")

    assert prepare.prepare(wanted, tmp_path, said.append)
    assert said == ["This matrix asks only APIs: no node needs anything."]


def test_a_plan_names_the_command_that_brings_what_is_missing() -> None:
    asked = matrix_of(None, ["workers=fresh"], {"nodes": "1,2", "engine": "llama.cpp"}, None, None)
    lines = describe(make_plan(asked, bare(2)))

    at = lines.index("To install the missing engines and models:")
    assert lines[at + 1] == (
        f"  fab prepare --nodes 1,2 --engine llama.cpp --set workers=fresh --inventory {INVENTORY}"
    )
    assert "To install" not in " ".join(describe(make_plan(matrix(), bare(2))))  # no command line


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({}, ("--matrix", "experiments/matrices/compare.yml")),
        ({"systems": "chatgpt"}, ("--systems", "chatgpt")),
        (
            {"questions": "experiments/questions/six.yml", "systems": "distributed-llama"},
            ("--questions", "experiments/questions/six.yml", "--systems", "distributed-llama"),
        ),
    ],
)
def test_a_comparison_is_prepared_by_its_own_flags(
    given: dict[str, str], flags: tuple[str, ...]
) -> None:
    assert comparison(**given).flags == flags  # type: ignore[arg-type]


def test_ansible_is_told_to_ask_only_where_somebody_can_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ansible-playbook"
    program.write_text('#!/bin/sh\necho "$@" >told\nexit 2\n')
    program.chmod(0o755)
    for is_terminal, told in ((True, "provision.yml -K"), (False, "provision.yml")):
        monkeypatch.setattr(sys.stdin, "isatty", lambda answer=is_terminal: answer)
        assert run_ansible([str(program), "provision.yml", "-K"], tmp_path) == 2
        assert (tmp_path / "told").read_text().strip() == told


def test_a_model_is_built_for_the_engines_that_its_entry_names_and_else_for_all() -> None:
    path = Path(prepare.__file__).parents[1] / "roles/model_store/files/prepare_models.py"
    role = runpy.run_path(str(path))["files_of"]
    installed = {name: ON_NODES[name].format for name in ("llama.cpp", "petals")}

    named = role([{**ENTRY, "engines": ["llama.cpp"]}], installed, only_look=True)
    unnamed = role([ENTRY], installed, only_look=True)

    assert {Path(file).suffix for file in named} == {".gguf"}
    assert {Path(file).suffix for file in unnamed} == {".gguf", ".safetensors"}
