"""The workload `greedy`: a trial a prompt, the last one scores the text."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from collect.attempt import AttemptRecord, ProcessRecord
from collect.cells import CellRecord
from collect.parsers.of_attempt import answers_of, parse_attempt
from collect.workloads import Greedy
from core.errors import HerdError
from experiments.engines import ENGINES
from experiments.engines.base import Cell, Deployment
from experiments.fleet import commands
from experiments.fleet.cluster import Cluster
from experiments.planning.matrix import load_matrix
from experiments.planning.references import references_of
from models.cache import CACHE_VARIABLE
from models.catalogue import load_catalogue
from models.encoder import Encoder
from models.fetch import open_checkpoint
from tests.unit.test_engines import cell, cluster, option
from tests.unit.test_plan import planned

DATA = Path(__file__).parents[1] / "data" / "llama-cpp"
WORKLOAD = Greedy(prompts=("Once upon a time", "1 2 3"), positions=16, text="The end.")
MATRIX = """\
title: Agreement
workload:
  kind: greedy
  prompts: [Once upon a time, A cat]
  text: The end.
axes: {engine: llama.cpp, model: stories15m}
repeats: 3
"""


@pytest.fixture(scope="module", autouse=True)
def _weights() -> None:
    """The vocabulary comes with the weights."""
    try:
        open_checkpoint(load_catalogue().get("stories15m"))
    except HerdError as error:
        pytest.skip(str(error))


def greedy_cell(engine: str, repeat: int, **params: object) -> Cell:
    made = cell(engine, **params)
    return Cell(made.params, WORKLOAD, repeat=repeat)


def deployed(engine: str, repeat: int) -> Deployment:
    return ENGINES[engine].deploy(greedy_cell(engine, repeat), cluster())


def bodies(deployment: Deployment) -> list[dict[str, object]]:
    return [json.loads(question)["body"] for question in deployment.root.argv[3:]]


def test_distributed_llama_continues_prompt_k_in_trial_k() -> None:
    # Beginning-of-text and a space of its own: 1 29871 29896 29871 29906 29871 29941.
    for repeat, prompt, tokens in ((1, " Once upon a time", 5), (2, " 1 2 3", 7)):
        deployment = deployed("distributed-llama", repeat)
        argv = deployment.root.argv
        assert option(argv, "--prompt") == prompt
        assert option(argv, "--steps") == "16"
        assert option(argv, "--temperature") == "0"
        assert deployment.expected_samples == 16 - tokens + 1


def test_distributed_llama_scores_the_text_in_the_last_trial() -> None:
    deployment = deployed("distributed-llama", 3)
    assert "perplexity" in deployment.root.argv
    assert option(deployment.root.argv, "--prompt") == " The end."
    assert deployment.expected_samples == 1


def test_llama_server_continues_a_prompt_in_32_bits() -> None:
    deployment = deployed("llama.cpp", 2)
    assert deployment.server is not None
    argv = deployment.server.argv
    assert [option(argv, f"--cache-type-{kind}") for kind in "kv"] == ["f32", "f32"]
    assert option(argv, "--flash-attn") == "off"
    (body,) = bodies(deployment)
    assert (body["prompt"], body["n_predict"], body["temperature"]) == ("1 2 3", 10, 0)
    assert body["ignore_eos"] is True
    assert deployment.expected_samples == 10


def test_llama_server_is_asked_for_each_token_of_the_text_that_follows_those_before() -> None:
    deployment = deployed("llama.cpp", 3)
    ids = Encoder(open_checkpoint(load_catalogue().get("stories15m")).tokenizer).encode("The end.")
    asked = bodies(deployment)
    assert [body["prompt"] for body in asked] == [list(ids[:end]) for end in range(1, len(ids))]
    assert [body["logit_bias"] for body in asked] == [[[token, 1000]] for token in ids[1:]]
    assert deployment.expected_samples == len(ids) - 1


def test_what_llama_server_generated_is_read_with_its_probabilities(tmp_path: Path) -> None:
    record = attempt(tmp_path, "server_greedy.jsonl", deployed("llama.cpp", 1).root.argv)
    measured = parse_attempt(tmp_path, record)
    assert measured.samples == 6
    assert [token.text for token in measured.said] == [
        ",", " there", " was", " a", " little", " girl",
    ]  # fmt: skip
    assert all(token.log_probability is not None for token in measured.said)
    assert measured.perplexity is None
    assert measured.decode is None, "the time of a server that tells probabilities"
    assert answers_of(tmp_path, record) == ()


def test_a_scored_text_has_the_perplexity_of_its_tokens(tmp_path: Path) -> None:
    record = attempt(tmp_path, "server_score.jsonl", deployed("llama.cpp", 3).root.argv)
    measured = parse_attempt(tmp_path, record)
    assert [token.log_probability for token in measured.said] == [
        -0.24105337262153625, -0.024691183120012283,
    ]  # fmt: skip
    assert measured.perplexity == pytest.approx(1.14211, abs=1e-5)


def test_a_log_that_is_torn_is_no_measurement(tmp_path: Path) -> None:
    argv = deployed("llama.cpp", 1).root.argv
    record = attempt(tmp_path, "server_greedy.jsonl", argv)
    log = tmp_path / "pi1.client.out"
    whole = log.read_bytes()
    for size in range(0, len(whole) - 1, 97):
        log.write_bytes(whole[:size])
        with pytest.raises(HerdError):
            parse_attempt(tmp_path, record)


def attempt(folder: Path, log: str, argv: tuple[str, ...]) -> AttemptRecord:
    (folder / "pi1.client.out").write_bytes((DATA / log).read_bytes())
    client = ProcessRecord(
        node="pi1",
        role="client",
        unit="herd-c-client",
        argv=argv,
        exit_code=0,
        signal=None,
        result="success",
        started_at=1.0,
        runtime_s=1.0,
        cpu_s=None,
        memory_peak_mib=None,
        received_bytes=None,
        sent_bytes=None,
        out_file="pi1.client.out",
        err_file=None,
    )
    return AttemptRecord(
        run="run",
        attempt_id="c-r1-a1",
        trial_id="c-r1",
        cell_id="c",
        attempt=1,
        params={"engine": "llama.cpp"},
        outcome="done",
        samples=6,
        expected_samples=6,
        started_at=1.0,
        trial_wall_s=1.0,
        root_wall_s=1.0,
        processes=(client,),
        nodes={},
        file_bytes={},
    )


def test_a_split_by_tensor_cannot_be_held_against_the_reference() -> None:
    reason = ENGINES["llama.cpp"].check(greedy_cell("llama.cpp", 1, split_mode="tensor"), cluster())
    assert reason is not None
    assert "flash attention" in reason


def test_nothing_is_fetched_to_say_whether_a_cell_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of a node that lacks the engine nor of one that has all."""

    def fetched(*_args: object) -> None:
        raise AssertionError("a file was fetched")

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr("models.fetch.ensure_file", fetched)
    monkeypatch.setattr("experiments.engines.common.encoder", fetched)
    for engine in ("distributed-llama", "llama.cpp"):
        reason = ENGINES[engine].check(greedy_cell(engine, 1), cluster())
        assert reason is not None
        assert commands.python_module("models", "fetch", "stories15m+kv16") in reason
        small = Cluster(
            nodes=tuple(
                dataclasses.replace(node, memory_mib=1, available_mib=1) for node in cluster().nodes
            )
        )
        assert "would need" in str(ENGINES[engine].check(greedy_cell(engine, 1), small))


def test_a_vocabulary_that_the_reference_cannot_read_is_told_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(model: str) -> Encoder:
        raise HerdError(f"Cannot split a text of {model}: a byte-level vocabulary.")

    monkeypatch.setattr("experiments.engines.common.encoder", refuse)
    for engine in ("distributed-llama", "llama.cpp"):
        reason = ENGINES[engine].check(greedy_cell(engine, 1), cluster())
        assert reason == "Cannot split a text of stories15m+kv16: a byte-level vocabulary"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("repeats: 3", "repeats: 5", "write `repeats: 3`"),
        ("A cat]", "Ein Bär]", "study.yml, line 4"),
        ("A cat]", "A  cat]", "study.yml, line 4"),
        ("text: The end.", "text: ''", "study.yml, line 5"),
    ],
)
def test_a_mistake_in_the_matrix_is_told_with_its_line(
    tmp_path: Path, right: str, wrong: str, told: str
) -> None:
    path = tmp_path / "study.yml"
    path.write_text(MATRIX.replace(right, wrong))
    with pytest.raises(HerdError) as caught:
        load_matrix(path)
    assert told in str(caught.value)


def test_repeats_are_the_prompts_and_cannot_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "study.yml"
    path.write_text(MATRIX)
    with pytest.raises(HerdError, match="are its prompts and its text"):
        load_matrix(path).override(repeats=2)


def test_the_reference_is_asked_once_for_each_model_and_type_of_weights(tmp_path: Path) -> None:
    usual = planned(tmp_path)
    asked = {
        f"c{number}": greedy_cell(engine, 1, weights="q4_0")
        for number, engine in enumerate(("distributed-llama", "llama.cpp"))
    }
    plan = dataclasses.replace(
        usual,
        matrix=usual.matrix.model_copy(update={"workload": WORKLOAD}),
        cells=tuple(
            CellRecord(cell_id=name, params=dict(one.params), identity={}, nodes=("pi1",))
            for name, one in asked.items()
        ),
        by_id=asked,
    )
    references = references_of(plan)
    assert references is not None
    assert list(references.models) == ["stories15m+kv16"]
    by_weights = references.models["stories15m+kv16"]
    assert list(by_weights) == ["f32", "q4_0"]
    first, second = by_weights["f32"].continuations
    assert "".join(first.pieces) == ", there was a little girl named Lily. She loved"
    assert (first.compared, len(second.pieces), len(second.margins)) == (12, 10, 10)
    assert by_weights["f32"].scored != by_weights["q4_0"].scored
    assert references_of(usual) is None, "a benchmark asks nothing of it"
