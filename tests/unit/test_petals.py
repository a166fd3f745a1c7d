"""Petals: spans of layers, what its client printed, what it says when it fails."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from collect.attempt import ProcessRecord
from collect.parsers import petals
from collect.parsers.of_attempt import failure_of_attempt
from collect.workloads import Benchmark, Greedy, Perplexity, Questions
from core.errors import HerdError
from experiments.engines import ENGINES
from experiments.engines.base import Cell
from experiments.engines.petals import STARTED, spans
from experiments.fleet.cluster import Cluster, Installation, Node
from experiments.planning.matrix import load_matrix
from models.build import artifact_file_names
from models.catalogue import load_catalogue

PROJECT = Path(__file__).resolve().parents[2]
DATA = PROJECT / "tests/data/petals"
ENGINE = ENGINES["petals"]
FOLDER = "stories15m-f32"
NAMES = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
)


def node(number: int, memory_mib: int = 4096) -> Node:
    return Node(
        name=f"pi{number}",
        address=f"192.0.2.{number}",
        engine_address=f"10.0.0.{number}",
        cores=4,
        memory_mib=memory_mib,
        engines={"petals": Installation("petals", installed=True, version="2.2.0.post1")},
        model_sha256={f"{FOLDER}/{name}": "cd" for name in NAMES},
    )


def cell(
    workload: Benchmark | Perplexity | Questions | Greedy | None = None, **params: object
) -> Cell:
    asked = {
        "engine": "petals",
        "model": "stories15m+kv16",
        "nodes": 2,
        "weights": "f32",
        "workers": "fresh",
        "spans": "even",
        "threads": 0,
        **params,
    }
    return Cell(params=asked, workload=workload or Benchmark(prompt_tokens=16, generate_tokens=32))  # type: ignore[arg-type]


def cluster(*memory_mib: int) -> Cluster:
    return Cluster(tuple(node(n, mib) for n, mib in enumerate(memory_mib or (4096, 4096), 1)))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("memory_mib", "how", "expected"),
    [
        ((1, 1), "even", (3, 6)),
        ((1, 1, 1, 1), "even", (2, 4, 5, 6)),
        ((8192, 2048), "memory", (4, 6)),
        ((16384, 1024, 1024), "memory", (4, 5, 6)),
        ((0, 4096), "memory", (3, 6)),
        ((4096, 4096), "4-2", (4, 6)),
        ((1, 1, 1), "1-1-4", (1, 2, 6)),
    ],
)
def test_layers_are_shared_evenly_by_memory_or_as_counted_out(
    memory_mib: tuple[int, ...], how: str, expected: tuple[int, ...]
) -> None:
    nodes = [node(number, mib) for number, mib in enumerate(memory_mib, 1)]
    assert spans(cell(spans=how), nodes, 6) == expected


def test_every_node_has_a_server_and_all_find_the_swarm_by_the_root() -> None:
    deployment = ENGINE.deploy(cell(), cluster())

    assert [w.node.name for w in deployment.workers] == ["pi1", "pi2"]
    for worker in deployment.workers:
        assert worker.argv[worker.argv.index("--first") + 1] == "10.0.0.1:9995"
        assert worker.listen_port == 9995
    spans_told = [w.argv[w.argv.index("--blocks") + 1] for w in deployment.workers]
    assert spans_told == ["0:3", "3:6"]
    assert deployment.root.node.name == "pi1"
    assert deployment.root.argv[-5:] == ("benchmark", "--prompt-tokens", "16", "--generate", "32")
    assert deployment.expected_samples == 32


def test_heads_of_zeros_are_left_to_distributed_llama() -> None:
    catalogue = load_catalogue()
    padded = artifact_file_names(catalogue.get("stories15m+kv16"), "huggingface", "f32")
    assert padded == artifact_file_names(catalogue.get("stories15m"), "huggingface", "f32")
    assert padded["model"] == f"/opt/llama-herd/models/{FOLDER}/model.safetensors"


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"weights": "q4_0"}, "no q4_0 weights, only f32"),
        ({"nodes": 8}, "has 6 layers, too few for servers on 8 nodes"),
        ({"spans": "4-3"}, "spans 4-3 are 7 layers on 2 nodes, and stories15m.kv16 has 6 for 2"),
        ({"spans": "2-2-2"}, "are 6 layers on 3 nodes, and stories15m.kv16 has 6 for 2"),
        ({"model": "qwen3-0.6b"}, "q4_0|qwen3"),
    ],
)
def test_what_petals_cannot_run_is_told_with_the_reason(
    params: dict[str, object], reason: str
) -> None:
    told = ENGINE.check(cell(**params), cluster(*[4096] * 8))
    assert told is not None
    assert pytest.importorskip("re").search(reason, told)


def test_a_model_that_another_node_lacks_is_told() -> None:
    there, lacking = node(1), dataclasses.replace(node(2), model_sha256={})
    told = ENGINE.check(cell(), Cluster((there, lacking)))
    assert told is not None
    assert "is not on pi2, and a server of petals reads its layers itself" in told


def test_too_little_memory_is_told_before_anything_starts() -> None:
    told = ENGINE.check(cell(), cluster(512, 4096))
    assert told is not None
    assert "pi1 has 512 MiB" in told


def test_questions_need_room_for_the_longest_of_them_and_no_whole_context() -> None:
    asked = load_matrix(PROJECT / "experiments/matrices/compare.yml").workload
    assert isinstance(asked, Questions)
    params = {"model": "smollm2-135m", "chat_template": "model"}
    need = ENGINE.memory(cell(asked, **params))
    assert need.root_mib < 1900  # what a node of 2 GiB has free
    longest = cell(asked.model_copy(update={"max_tokens": 4096}), **params)
    assert ENGINE.memory(longest).root_mib > need.root_mib


def test_the_node_with_most_layers_counts() -> None:
    need = {spans: ENGINE.memory(cell(spans=spans)).worker_mib for spans in ("even", "5-1")}
    assert need["5-1"] > need["even"]


def test_a_node_that_others_reach_through_another_machine_has_no_server() -> None:
    behind = dataclasses.replace(node(2), forwarded_from="172.16.0.0/12")
    told = ENGINE.check(cell(), Cluster((node(1), behind)))
    assert told is not None
    assert "pi2 is reached through another machine" in told


def test_a_benchmark_counts_the_token_that_the_prompt_yields() -> None:
    found = petals.measurement((DATA / "benchmark.out").read_bytes(), b"")

    assert found.samples == 64
    assert found.prefill is not None
    assert found.prefill.tokens == 32
    assert found.decode is not None
    assert found.decode.tokens == 63
    assert found.text is not None
    assert found.text.startswith(" park. She was so excited to go to the park.")
    assert [token.phase for token in found.tokens[:2]] == ["evaluation", "prediction"]
    first = found.tokens[0]
    assert first.total_ms == pytest.approx(first.compute_ms + first.sync_ms)  # type: ignore[operator]


def test_a_scored_text_keeps_each_score() -> None:
    record = {"event": "perplexity", "value": 7.5, "total_ms": 20.0, "scores": [-1.0, -3.0]}
    found = petals.measurement(json.dumps(record).encode(), b"")
    assert found.samples == 1
    assert found.perplexity == 7.5
    assert [token.log_probability for token in found.said] == [-1.0, -3.0]


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (b"", "measured nothing: no server has the blocks 3, 4, 5"),
        (b'{"event": "step"}', "phase: Field required"),
        (b'{"event": "st', "torn"),
        (b"[1]", "torn"),
    ],
)
def test_a_log_that_is_not_whole_is_no_measurement(out: bytes, said: str) -> None:
    with pytest.raises(HerdError, match=said):
        petals.measurement(out, b"error: no server has the blocks 3, 4, 5\n")


def test_a_server_that_was_killed_is_the_cause_and_not_the_client_that_missed_it(
    tmp_path: Path,
) -> None:
    words = "error: the server pi2, which has the blocks 3 to 5, did not answer (ConnectionError)\n"
    (tmp_path / "pi1.root.err").write_text(words)
    shared = {"unit": "herd-x", "env": {}}
    server = ProcessRecord(
        node="pi2",
        role="worker",
        argv=("/opt/llama-herd/engines/petals/bin/petals-server",),
        signal=9,
        result="signal",
        **shared,
    )
    client = ProcessRecord(
        node="pi1",
        role="root",
        argv=("/opt/llama-herd/engines/petals/bin/petals-client",),
        exit_code=1,
        result="exit-code",
        err_file="pi1.root.err",
        **shared,
    )
    cause = failure_of_attempt(tmp_path, (client, server), "petals")
    assert cause is not None
    assert cause.startswith("the worker on pi2 ended by signal 9 (SIGKILL); the root on pi1")
    assert "did not answer" in cause


def test_exceptions_that_a_well_server_logs_are_no_cause(tmp_path: Path) -> None:
    (tmp_path / "pi2.worker.err").write_text("Traceback\nConnectionResetError: lost\n")
    server = ProcessRecord(
        node="pi2",
        role="worker",
        unit="herd-x",
        argv=("/opt/llama-herd/engines/petals/bin/petals-server",),
        exit_code=0,
        result="success",
        err_file="pi2.worker.err",
    )
    assert failure_of_attempt(tmp_path, (server,), "petals") is None


def test_a_real_server_says_the_line_that_is_waited_for() -> None:
    assert STARTED in (DATA / "server.err").read_text()


def test_the_rate_so_far_is_that_of_generating() -> None:
    tail = (DATA / "benchmark.out").read_text()[-2000:]
    rate = ENGINE.live_rate(tail)
    assert rate is not None
    assert 5 < rate < 200
    assert ENGINE.live_rate("") is None


def test_each_locked_package_has_its_hash_and_the_pins_are_those_that_work() -> None:
    for path in sorted((PROJECT / "roles/petals/files").glob("lock-*-*.txt")):
        lines = path.read_text().splitlines()
        assert all(line.count(" --hash=sha256:") == 1 for line in lines)
        pins = {line.partition(" ")[0] for line in lines}
        assert {
            "petals==2.2.0.post1",
            "hivemind==1.1.12",
            "bitsandbytes==0.41.1",
            "transformers==4.34.1",
        } <= pins
        torch = next(pin for pin in pins if pin.startswith("torch=="))
        if path.stem.endswith("cuda"):
            assert torch == "torch==2.4.1"  # the newest whose CUDA bitsandbytes 0.41.1 has
            assert any(pin.startswith("nvidia-cublas-cu12==12.1.") for pin in pins)
        else:
            assert not any(pin.startswith("nvidia") for pin in pins)


def test_a_peer_is_named_after_its_address() -> None:
    pytest.importorskip("cryptography")
    sys.modules.setdefault("base58", ModuleType("base58"))
    sys.modules["base58"].b58encode = lambda data: data.hex().encode()  # type: ignore[attr-defined]
    identity = load(PROJECT / "roles/petals/files/programs/herd_petals/identity.py")
    address = identity.peer_multiaddress("10.0.0.4:9995")
    # A name that holds an Ed25519 key: identity multihash of 36 bytes, type 1, 32 bytes.
    assert address.startswith("/ip4/10.0.0.4/tcp/9995/p2p/002408011220")
    assert address != identity.peer_multiaddress("10.0.0.5:9995")
