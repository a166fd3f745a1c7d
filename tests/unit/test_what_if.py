"""`fab what-if` answers from logs on disk, or says why it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.network.what_if import Wish, what_if
from collect.run import ATTEMPTS_FOLDER, Benchmark
from core.errors import HerdError
from tests.doubles.engine_logs import dllama_era_a
from tests.doubles.run_folder import make_run, replace_log

TOKENS = 16
PI_4 = {1: (1312.50, 1.81), 2: (793.69, 52.50), 4: (494.00, 34.06), 8: (588.19, 289.75)}
"""Upstream's table of LLaMA-2-7B: nodes to milliseconds of a token, and of synchronising."""
MODEL = "llama2-7b-chat"


def pi_4(folder: Path, counts: tuple[int, ...]) -> Path:
    """Write a run of which the logs have the table's sums."""
    run = make_run(
        folder / "results",
        engines=("distributed-llama",),
        nodes=counts,
        repeats=2,
        workload=Benchmark(prompt_tokens=2, generate_tokens=TOKENS),
        unavailable={},
        failed=(),
        retried=(),
    )
    for attempt in (run / ATTEMPTS_FOLDER).iterdir():
        nodes = json.loads((attempt / "attempt.json").read_text())["params"]["nodes"]
        total, sync = PI_4[nodes]
        step = (round(total), round(total - sync), round(sync))
        replace_log(attempt, "pi1.root.out", dllama_era_a([step] * TOKENS), samples=TOKENS)
    for file in run.rglob("*.json"):
        text = file.read_text().replace('"synthetic-60m"', f'"{MODEL}"')
        file.write_text(text.replace('"version": "8d624a7"', '"version": "0.1.0"'))
    return run


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one, two and four Raspberry Pis 4."""
    return pi_4(tmp_path_factory.mktemp("good"), (1, 2, 4))


def read(**options: str | None) -> Wish:
    return Wish.read(
        options.pop("nodes", None), options.pop("link", None), options.pop("memory", None),
        **options,
    )  # fmt: skip


def test_it_predicts_with_interval_terms_levers_and_errors(good: Path) -> None:
    asked, measured, split, helps, fit = what_if(good, read(nodes="4"))
    assert f"{MODEL} (q4_0) with distributed-llama on four nodes" in asked
    assert "90 % interval" in asked
    assert measured == "Measured on four nodes: 494 ms."
    assert "memory" in split
    assert "transfer" in split
    assert "1 % more memory bandwidth changes it by -0." in helps
    assert "twice the nodes" in helps
    assert fit.startswith("The fit: 3 cells on 1, 2 and 4 nodes.")


def test_more_nodes_and_another_link_are_named_as_extrapolation(good: Path) -> None:
    told = list(what_if(good, read(nodes="8", link="2500", weights="f32")))
    assert "on eight nodes, links of 2 500 Mbit/s" in told[0].replace(
        "\N{NARROW NO-BREAK SPACE}", " "
    )
    [beyond] = [one for one in told if one.startswith("Extrapolation")]
    assert "eight nodes were not measured (1 to 4 were)" in beyond
    assert "f32 weights were not measured" in beyond


def test_the_same_call_gives_the_same_answer(good: Path) -> None:
    assert list(what_if(good, read())) == list(what_if(good, read()))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"nodes": "64"}, "64 nodes cannot take part: the model has 32 KV heads"),
        ({"nodes": "2.5"}, "--nodes must be a whole number above 0, not `2.5`."),
        ({"link": "fast"}, "--link must be a number above 0, not `fast`."),
        ({"memory": "0"}, "--memory must be a number above 0, not `0`."),
        ({"memory": "20"}, "outside the class"),
        ({"weights": "q5"}, "There are no q5 weights; known are: f32, f16,"),
        ({"root": "desk"}, "The speed of desk is not known next to the others."),
        ({"engine": "petal"}, "has no cells of `petal` on three numbers of nodes"),
        ({"model": "lama"}, "The catalogue has no model `lama`."),
    ],
)
def test_what_cannot_be_answered_is_refused(
    good: Path, options: dict[str, str | None], reason: str
) -> None:
    with pytest.raises(HerdError) as refused:
        list(what_if(good, read(**options)))
    assert reason in str(refused.value)


def test_eight_pi_4_give_no_prediction(tmp_path: Path) -> None:
    run = pi_4(tmp_path, (1, 2, 4, 8))
    with pytest.raises(HerdError) as refused:
        list(what_if(run, read(nodes="4")))
    assert "No prediction from the run" in str(refused.value)
    assert "34.0 ms on four nodes" in str(refused.value)


def test_two_numbers_of_nodes_give_none(tmp_path: Path) -> None:
    with pytest.raises(HerdError) as refused:
        list(what_if(pi_4(tmp_path, (1, 2)), read()))
    assert "on three numbers of nodes" in str(refused.value)
