"""The text file of answers that people mail around."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.answers.export import export_answers
from core.errors import HerdError
from tests.doubles.api_server import saying, serving
from tests.doubles.asking_run import matrix, run, systems_file
from tests.doubles.run_folder import make_run
from tests.unit.test_questions import SIX, run_folder

__all__ = ["run_folder"]


def test_every_question_stands_there_with_every_answer_its_time_and_tokens(
    run_folder: Path, tmp_path: Path
) -> None:
    text = export_answers(run_folder, tmp_path / "compare.txt").read_text("utf-8")

    assert text.startswith("Questions\n=========\n")
    assert "On these six questions, " in text
    for position, question in enumerate(SIX, start=1):
        _, _, block = text.partition(
            f"Question {position} of 6: {question.id} ({question.topic})\n"
        )
        block = block.partition("\nQuestion ")[0]
        assert " ".join(question.text.split()) in " ".join(block.split())
        assert block.count("\n* ") == 2, "two systems answered"
        assert block.count(" tokens, TTFT ") == 2
        assert block.count(" s, whole answer ") == 2
    assert "    it would be fun to measure them.\n    One day," in text, "as it came"
    assert "\x1b" not in text


def test_who_answered_is_told_to_whoever_has_no_file_of_systems(
    run_folder: Path, tmp_path: Path
) -> None:
    text = export_answers(run_folder, tmp_path / "compare.txt").read_text("utf-8")
    one = " ".join(text.partition("\n* llama.cpp")[2].partition("\n\n")[0].split())
    assert one.endswith(
        "(f32) with llama.cpp on one node, timed on the cluster, by the node's clock"
    )


def test_an_api_is_told_with_its_address_and_what_it_cost(tmp_path: Path) -> None:
    price = "{input: 10, output: 100, currency: EUR, date: 2026-01-01}"
    with serving(saying("yes", 10, 2)) as (url, _):
        base = url.removesuffix("/chat/completions")
        result = run(tmp_path, matrix(systems_file(tmp_path, base, price=price), "Why?"))
    text = export_answers(result.folder, tmp_path / "compare.txt").read_text("utf-8")
    told = " ".join(text.split())
    assert f"* api: m at {base}, timed end-to-end, over an API in the own network; its" in told
    assert "its answers cost 0.000300 EUR On this question" in told


def test_what_must_be_known_of_the_run_is_told(run_folder: Path, tmp_path: Path) -> None:
    plan = run_folder / "run.json"
    told = json.loads(plan.read_text())
    told["nodes"] = {"ask1": {"boot_id": "one"}, "ask2": {"boot_id": "one"}}
    plan.write_text(json.dumps(told))
    text = export_answers(run_folder, tmp_path / "compare.txt").read_text("utf-8")
    assert "These nodes are virtual and share the cores and memory of one machine" in text


def test_a_run_without_answers_says_what_is_missing(tmp_path: Path) -> None:
    run = make_run(tmp_path, engines=("llama.cpp",), nodes=(1,), repeats=1)
    with pytest.raises(HerdError, match=r"it has none. Answers come from runs of the workload"):
        export_answers(run, tmp_path / "x.txt")


def test_a_file_that_cannot_be_written_is_told(run_folder: Path) -> None:
    with pytest.raises(HerdError, match=r"Writing the answers to .*No such file or directory"):
        export_answers(run_folder, run_folder / "nowhere" / "x.txt")
