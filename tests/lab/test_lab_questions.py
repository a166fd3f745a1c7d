"""Questions end to end: a small real model in llama-server, the double of dllama-api beside it."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import write_report
from collect.account import Account
from collect.attempt import load_attempt
from collect.questions import load_questions
from collect.tables import tables_of
from collect.workloads import Questions
from experiments.planning.matrix import Matrix
from experiments.runner import RunResult
from tests.doubles.lab_run import CHAT_MODEL, MODEL, run
from tests.lab.virtual_lab import PROJECT, ROOT, WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

SIX = "experiments/questions/six.yml"
ASKED = load_questions(PROJECT / SIX)[:2]
MAX_TOKENS = 12
BOUNDED_S = 60.0


def study(max_tokens: int = MAX_TOKENS, **axes: str) -> Matrix:
    """Two questions, once, to every engine on one node and on two."""
    asked = Matrix(
        title="Questions",
        workload=Questions(file=SIX, asked=ASKED, max_tokens=max_tokens),
        axes={
            "engine": ("distributed-llama", "llama.cpp"),
            "model": (CHAT_MODEL,),
            "weights": ("q4_0",),
            "nodes": (1, 2),
            "threads": (1,),
        },
        repeats=1,
        warmup=0,
        max_attempts=2,
        deadline_s=120.0,
        file="questions.yml",
    )
    return asked.override(axes=axes)


@pytest.fixture(scope="module")
def answered(lab: VirtualLab, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(lab.inventory, tmp_path_factory.mktemp("results"), study())


def answers_of(result: RunResult) -> pd.DataFrame:
    """Table `answers`, with the engine and the nodes of each."""
    tables = tables_of(Account.read(result.folder))
    return tables.answers.merge(tables.trials[["trial_id", "engine", "nodes"]], on="trial_id")


def logs(result: RunResult, name: str) -> list[str]:
    return [path.read_text() for path in sorted(result.folder.rglob(name))]


def test_every_question_is_answered_by_each_engine_on_one_node_and_on_two(
    answered: RunResult,
) -> None:
    assert (answered.exit_code, answered.counts["done"]) == (0, 4), answered.notes
    answers = answers_of(answered)
    told = answers.groupby(["engine", "nodes"])["question"].apply(list).to_dict()
    ids = [question.id for question in ASKED]
    assert told == {(e, n): ids for e in ("distributed-llama", "llama.cpp") for n in (1, 2)}
    assert answers["error"].isna().all()
    assert (answers["text"].str.len() > 0).all()
    assert (answers["ttft_ms"] > 0).all()
    assert (answers["tokens_per_s"] > 0).all()


def test_each_server_writes_out_the_conversation_as_the_model_says(answered: RunResult) -> None:
    servers = logs(answered, f"{ROOT}.server.out")
    told = [log for log in servers if "Server URL:" in log]
    assert len(told) == 2
    assert all("⭐ Chat template: chatml" in log for log in told)
    counts = answers_of(answered).set_index("engine").loc["llama.cpp", "prompt_tokens"]
    # The text of a question has some ten tokens; more come with the model's own template.
    assert (counts > 20).all()


def test_what_dllama_api_does_not_tell_is_counted_or_missing(answered: RunResult) -> None:
    answers = answers_of(answered).set_index("engine")
    silent, telling = answers.loc["distributed-llama"], answers.loc["llama.cpp"]
    assert set(silent["tokens_from"]) == {"pieces"}
    assert silent["prompt_tokens"].isna().all()
    assert set(silent["tokens"]) == {MAX_TOKENS}
    assert set(silent["truncated"]) == {True}
    assert set(silent["temperature_used"]) == {0.0}
    assert not set(telling["tokens_from"]) & {"pieces"}


def test_the_report_has_the_answers_side_by_side(answered: RunResult, tmp_path: Path) -> None:
    report = write_report(answered.folder, tmp_path)
    page = unescape(report.index.read_text())
    assert all(question.text in page for question in ASKED)
    assert all(text in page for text in answers_of(answered)["text"].str.strip().str.slice(0, 20))


def test_a_worker_that_is_killed_ends_the_attempt_and_the_next_one_is_whole(
    lab: VirtualLab, tmp_path: Path
) -> None:
    """The server would try for ever to have it back; the double does as well."""
    lab.lie_in_wait(WORKER, "Weights loaded", 1.0)
    result = run(lab.inventory, tmp_path, study(800, engine="distributed-llama", nodes="2"))
    first, second = (
        load_attempt(path) for path in sorted((result.folder / "attempts").glob("[!.]*"))
    )
    assert first.outcome == "failed"
    assert str(first.cause).startswith(f"the worker on {WORKER} ended by signal 9 (SIGKILL)")
    assert first.trial_wall_s < BOUNDED_S
    assert second.outcome == "done", second.cause
    assert lab.units() == {}


def test_a_model_without_a_template_is_unavailable_to_both(lab: VirtualLab, tmp_path: Path) -> None:
    result = run(lab.inventory, tmp_path, study(model=MODEL, weights="f32"))
    account = Account.read(result.folder)
    assert account.counts()["unavailable"] == 4
    assert all("has no chat template" in str(trial.reason) for trial in account.trials)
