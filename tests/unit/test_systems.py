"""Systems: their file, the axis, and what a cell of one is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collect.labels import cell_label
from collect.workloads import Benchmark
from core.errors import HerdError
from experiments.engines import ENGINES
from experiments.fleet.cluster import Cluster
from experiments.planning.matrix import Matrix, load_matrix
from experiments.planning.plan import make_plan
from experiments.planning.systems import load_systems
from tests.doubles.asking_run import cell, matrix, systems_file
from tests.unit.test_engines import cluster

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = PROJECT / "experiments" / "systems.yml"
API = "{engine: openai, url: https://a.example/v1, model: m"


def loaded(tmp_path: Path, entry: str) -> Path:
    path = tmp_path / "systems.yml"
    path.write_text(f"systems:\n  one: {entry}\n")
    return path


def test_the_shipped_systems_can_be_read_and_planned() -> None:
    systems = load_systems(SHIPPED).systems
    assert "chatgpt" in systems
    there = {name: one for name, one in systems.items() if "-tuned-" not in name}
    for name, system in there.items():
        asked = Matrix(title="T", axes={"system": (name,)})
        (found,) = asked.cells()
        assert found.params["system"] == name
        assert found.engine == system.engine
        assert found.nodes == (system.nodes or 0 if found.endpoint else system.nodes or 1)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{engine: openai, model: m}", "an API needs a `url`"),
        (f"{API}, nodes: 1}}", "an API has no nodes"),
        (f"{API}, colour: red}}", "unknown key `colour`"),
        (f"{API}, key_env: sk-secret-1}}", "it must be the NAME of an environment variable"),
        (f"{API}, extra: {{max_tokens: 5}}}}", "`extra` must not set max_tokens"),
        (f"{API}, extra: {{stream_options: 5}}}}", "`extra` must not set stream_options"),
        (f"{API}, price: {{input: 1}}}}", "is missing"),
        ("{engine: openai, url: 'https://u:sk-secret-1@a/v1', model: m}", "no user, password"),
        ("{engine: openai, url: 'https://a/v1?k=sk-secret-1', model: m}", "no user, password"),
        *(
            (f"{{engine: openai, url: '{url}', model: m}}", "write it like https://")
            for url in (
                "ftp://a",
                "https:///v1",
                "https://a..b/v1",
                f"https://{'x' * 70}.example/v1",
                "https://a:0/v1",
                "https://a:65536/v1",
                "https://a:b/v1",
                "https://a b/v1",
                "https://a/b c",
                "https://a/é",
                "https://a\\b/v1",
            )
        ),
        (
            "{engine: openai, url: 'http://a.example/v1', model: m, key_env: A_KEY}",
            "exposes the key to the network",
        ),
        ("{engine: nothing, model: stories15m}", "invalid value 'nothing' for axis engine"),
        (
            "{engine: llama.cpp, model: stories15m, weights: q5}",
            "invalid value 'q5' for axis weights",
        ),
        ("{engine: llama.cpp, model: stories15m, axes: {net_turbo: true}}", "has no axis net_turb"),
        ("{engine: llama.cpp, model: stories15m, key_env: A_KEY}", "are only for an API"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_what_may_be_a_key(
    tmp_path: Path, entry: str, told: str
) -> None:
    path = loaded(tmp_path, entry)

    with pytest.raises(HerdError) as caught:
        load_systems(path)

    assert f"{path}, line 2: " in str(caught.value)
    assert told in str(caught.value)
    assert "sk-secret-1" not in str(caught.value)


def test_a_server_of_ones_own_may_be_asked_without_a_key_over_http(tmp_path: Path) -> None:
    entry = "{engine: openai, url: 'http://desk:11434/v1/', model: m}"
    system = load_systems(loaded(tmp_path, entry)).get("one")
    assert system.url == "http://desk:11434/v1"


def test_each_system_is_one_cell_with_what_it_fixes(tmp_path: Path) -> None:
    path = tmp_path / "systems.yml"
    path.write_text(
        "systems:\n"
        "  near: {engine: llama.cpp, model: stories15m, weights: f32, axes: {threads: 3}}\n"
        f"  far: {API}, extra: {{temperature: 1}}}}\n"
    )
    asked = matrix(path, "Why?", axes={"system": ("near", "far"), "split_mode": ("tensor",)})

    near, far = asked.cells()

    assert dict(near.params) == {
        "system": "near",
        "engine": "llama.cpp",
        "model": "stories15m",
        "nodes": 1,
        "weights": "f32",
        "workers": "fresh",
        "split_mode": "tensor",
        "threads": 3,
    }
    assert (far.nodes, far.model, far.params["answers"]) == (0, "m", "live")
    assert near.endpoint is None
    assert cell_label(far.params) == "far: openai m live"
    assert cell_label(near.params).startswith("near: llama.cpp stories15m 1 node")


@pytest.mark.parametrize("axis", ["engine: llama.cpp", "model: stories15m", "nodes: 2"])
def test_what_a_system_says_itself_is_no_axis_beside_it(tmp_path: Path, axis: str) -> None:
    file = tmp_path / "m.yml"
    file.write_text(f"title: M\naxes:\n  system: chatgpt\n  {axis}\n")

    with pytest.raises(HerdError, match=r"line 4: .*a system defines its own (engine|model|nodes)"):
        load_matrix(file)

    name, value = axis.split(": ")
    with pytest.raises(HerdError, match="use either axis system or"):
        Matrix(title="M", axes={"system": ("chatgpt",)}).override(axes={name: value})


def test_a_system_that_nobody_knows_is_told_with_the_nearest() -> None:
    with pytest.raises(HerdError, match=r"Unknown system chatgtp\. Did you mean chatgpt\?"):
        Matrix(title="M", axes={"system": ("chatgtp",)}).cells()


def test_an_api_is_no_engine_of_a_matrix() -> None:
    with pytest.raises(HerdError, match="openai can only be asked as a system"):
        Matrix(title="M").override(engine="openai")


def test_an_api_is_asked_in_its_own_form_and_never_told_a_key(tmp_path: Path) -> None:
    path = systems_file(
        tmp_path,
        "https://a.example/v1",
        key_env="A_KEY",
        token_limit="max_completion_tokens",  # noqa: S106 - none
        extra="{temperature: 1}",
    )
    one = cell(matrix(path, "Why?"))

    deployment = ENGINES["openai"].deploy(one, Cluster(()))

    assert deployment.workers == ()
    assert deployment.server is None
    assert deployment.root.node.name == "controller"
    argv = deployment.root.argv
    assert argv[argv.index("--key-env") + 1] == "A_KEY"
    assert "https://a.example/v1/chat/completions" in argv
    assert json.loads(argv[-1])["body"] == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "temperature": 1,
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 16,
    }


def test_retries_are_for_apis_alone(tmp_path: Path) -> None:
    """On nodes something that fails is a finding, and its cause is looked for."""
    asked = matrix(systems_file(tmp_path, "http://127.0.0.1:1/v1"), "Why?")
    assert "--retries" in ENGINES["openai"].deploy(cell(asked), Cluster(())).root.argv

    path = tmp_path / "near.yml"
    path.write_text("systems:\n  one: {engine: llama.cpp, model: stories15m}\n")
    near = cell(matrix(path, "Why?", axes={"system": ("one",)}))
    assert "--retries" not in ENGINES["llama.cpp"].deploy(near, cluster()).root.argv


def test_an_api_cannot_be_benchmarked(tmp_path: Path) -> None:
    asked = matrix(systems_file(tmp_path, "https://a/v1"), "Why?", workload=Benchmark())
    told = ENGINES["openai"].check(cell(asked), Cluster(()))
    assert told == "an API only answers questions: use the workload `questions`"


def test_another_address_or_form_makes_another_cell_and_another_price_does_not(
    tmp_path: Path,
) -> None:
    def planned(name: str, url: str, **more: object) -> str:
        folder = tmp_path / name
        folder.mkdir()
        asked = matrix(systems_file(folder, url, **more), "Why?")
        return make_plan(asked, Cluster(())).cells[0].cell_id

    price = "{input: 1, output: 2, currency: USD, date: 2026-01-01}"
    first = planned("a", "https://a/v1")
    assert planned("b", "https://b/v1") != first
    assert planned("c", "https://a/v1", extra="{temperature: 1}") != first
    assert planned("d", "https://a/v1", price=price) == first


@pytest.mark.parametrize(
    "url", ["https://bücher.example/v1", "http://[::1]:8080/v1", "HTTPS://a_b.example:1/%7e/v1"]
)
def test_an_address_may_have_any_lawful_form(tmp_path: Path, url: str) -> None:
    file = tmp_path / "systems.yml"
    file.write_text(f"systems:\n  a: {{engine: openai, url: '{url}', model: m}}\n")

    assert load_systems(file).get("a").url == url
