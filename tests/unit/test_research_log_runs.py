"""The end of a run and the research log: a line once, and never at the run's cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.text.sentence import translated
from analysis.week.question import matrix_question
from collect.account import Account, Scrutiny
from collect.load import load_run
from collect.told import question_of
from core.language.choice import speaking
from experiments.runner import RunResult
from tests.doubles.run_folder import make_run
from verbs import diary, outcome


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(outcome, "PROJECT", tmp_path)
    monkeypatch.setenv("LLAMA_HERD_STUDY", str(tmp_path / "study"))
    return tmp_path / "study"


def result_of(folder: Path, **changed: bool) -> RunResult:
    return RunResult(folder, Account.read(folder, Scrutiny.RECORDS).counts(), **changed)


def test_a_finished_run_has_a_line_that_links_its_report(study: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "results", nodes=(1, 2), repeats=2)
    outcome.conclude(result_of(run), log=True)
    (line,) = [one for one in (study / "log.md").read_text().splitlines() if run.name in one]
    target = f"../analysis/reports/{run.name}/index.html"
    assert f"Run [{run.name}]({target}): Scaling over nodes (benchmark)" in line
    assert (study / target).is_file()
    for again in (result_of(run), result_of(run, already_complete=True)):
        outcome.conclude(again, log=True)
    outcome.write_report_of(run)
    assert (study / "log.md").read_text().count(run.name) == 2  # its name, and in its link


def test_a_run_has_its_line_when_it_is_complete_and_not_before(study: Path, tmp_path: Path) -> None:
    begun = make_run(tmp_path / "results", nodes=(1, 2), pending=[("llama.cpp", 2, 2)])
    outcome.conclude(result_of(begun), log=True)
    assert not study.exists()
    whole = make_run(
        tmp_path / "whole", nodes=(1, 2), repeats=2, unavailable={}, failed=[], retried=[]
    )
    outcome.conclude(result_of(whole, interrupted=True), log=True)
    assert not study.exists()
    outcome.conclude(result_of(whole), log=True)
    assert "4 cells, 8 of 8 trials done." in (study / "log.md").read_text()


def test_a_log_that_cannot_be_written_leaves_report_and_exit_code(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = [("llama.cpp", 2, 1)]
    run = make_run(tmp_path / "results", nodes=(1, 2), repeats=2, unavailable={}, failed=failed)
    result = result_of(run)
    study.mkdir()
    (study / "log.md").write_text("<<<<<<< mine\n")
    written = outcome.conclude(result, log=True)
    assert written.index.is_file()
    assert result.exit_code == 1  # a trial of it failed, as without a log
    told = capsys.readouterr().err
    assert "The research log was not written, all else is complete." in told
    assert "line 1: a conflict" in told
    assert (study / "log.md").read_text() == "<<<<<<< mine\n"
    (study / "log.md").write_text("")
    outcome.conclude(result, log=True)  # the same command again, once that is resolved
    assert run.name in (study / "log.md").read_text()


def test_switched_off_nothing_is_written(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "results", nodes=(1, 2), repeats=2)
    outcome.conclude(result_of(run), log=False)
    monkeypatch.setenv(diary.SWITCH, "off")
    outcome.conclude(result_of(run), log=True)
    assert not study.exists()


def test_a_line_says_in_the_language_of_the_log_what_was_asked(tmp_path: Path) -> None:
    weights = tuple(f"q{n}" for n in range(8))
    run = load_run(make_run(tmp_path, nodes=(1, 2), repeats=1, weights=weights, failed=()))
    assert matrix_question(run) == question_of(run), "the list of runs says the same in English"
    with speaking("ko"):
        told = translated(matrix_question(run))
    assert "벤치마크" in told
    assert "노드 수 1, 2" in told
    assert "가중치 q0, q1, q2, q3, q4, q5 외 2개" in told
