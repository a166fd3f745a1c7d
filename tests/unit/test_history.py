"""The list of runs: what each asked and found; damaged and foreign folders are one line each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from invoke import Context
from invoke.exceptions import Exit

import fabfile
import verbs.results
from analysis.report import write_report
from collect.load import load_run
from collect.run import ATTEMPTS_FOLDER, RUN_FILE
from collect.told import VERDICT_FILE, question_of, read_verdict
from experiments.disk.history import history_lines, past_runs
from tests.doubles.run_folder import make_run
from tests.unit.test_json_answers import validator


def everything(folder: Path) -> dict[str, object]:
    """Each name below a folder, with its content and its time of change."""
    found: dict[str, object] = {}
    for path, folders, files in os.walk(os.fsencode(folder)):
        for name in (*folders, *files):
            whole = os.path.join(path, name)  # noqa: PTH118 - names that are no text
            told = os.lstat(whole)
            found[os.fsdecode(whole)] = (told.st_mode, told.st_size, told.st_mtime_ns)
    return found


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "analysis" / "reports"


def test_a_run_has_its_date_question_verdict_and_state(results: Path, reports: Path) -> None:
    run = make_run(results, nodes=(1, 2), repeats=6, failed=[("llama.cpp", 2, 1)])
    [before] = past_runs(results, reports)
    assert before.verdict is None
    assert before.state == "complete"
    assert (before.done, before.failed, before.unavailable) == (17, 1, 6)
    assert before.question == (
        "Scaling over nodes (benchmark): distributed-llama, llama.cpp; synthetic-60m; "
        "weights q4_0; nodes 1, 2"
    )
    assert any("fab report --run 20261123-scaling" in line for line in history_lines([before]))

    verdict = write_report(run, reports).verdict
    [after] = past_runs(results, reports)
    assert after.verdict == verdict
    assert after.is_current
    lines = list(history_lines([after]))
    assert lines[0].endswith("20261123-scaling: complete, 17 of 24 done, 1 failed, 6 unavailable")
    assert lines[2] == f"  {verdict}"

    gone = next(path for path in (run / ATTEMPTS_FOLDER).iterdir() if path.name.endswith("-r2-a1"))
    gone.rename(run / gone.name)
    [changed] = past_runs(results, reports)
    assert (changed.state, changed.is_current) == ("unfinished", False)
    assert "before more was measured" in list(history_lines([changed]))[2]


def test_a_verdict_of_another_run_or_a_damaged_one_does_not_count(tmp_path: Path) -> None:
    told = {"run": "one", "verdict": "Fast.", "done": 1, "planned": 1}
    (tmp_path / VERDICT_FILE).write_text(json.dumps(told))
    found = read_verdict(tmp_path, "one")
    assert found is not None
    assert found.verdict == "Fast."
    assert read_verdict(tmp_path, "two") is None
    (tmp_path / VERDICT_FILE).write_text(json.dumps(told)[:-5])
    assert read_verdict(tmp_path, "one") is None
    (tmp_path / VERDICT_FILE).unlink()
    (tmp_path / VERDICT_FILE).symlink_to("/etc/passwd")
    assert read_verdict(tmp_path, "one") is None


def test_damaged_and_foreign_folders_are_listed_and_nothing_changes(
    tmp_path: Path, results: Path, reports: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    make_run(results, name="good", nodes=(1,), repeats=2)
    torn = make_run(results, name="torn", nodes=(1,), repeats=1)
    (torn / RUN_FILE).write_bytes((torn / RUN_FILE).read_bytes()[:-40])
    (make_run(results, name="other-name", nodes=(1,))).rename(results / "renamed")
    linked = make_run(results, name="linked", nodes=(1,), repeats=1)
    (linked / ATTEMPTS_FOLDER).rename(tmp_path / "elsewhere")
    (linked / ATTEMPTS_FOLDER).symlink_to(tmp_path / "elsewhere")
    for name in ("empty", "folder", "device", "deep", "\x1b[2J", "no\udcfftext"):
        (results / name).mkdir()
    (results / "empty" / RUN_FILE).touch()
    (results / "folder" / RUN_FILE).mkdir()
    (results / "device" / RUN_FILE).symlink_to("/dev/zero")
    (results / "deep" / RUN_FILE).write_text("[" * 100_000)
    (results / "\x1b[2J" / RUN_FILE).write_text("{}")
    (results / "no\udcfftext" / RUN_FILE).write_text("{}")
    (results / "a-file").write_text("no run")
    before = everything(tmp_path)

    monkeypatch.setattr(verbs.results, "PROJECT", tmp_path)
    fabfile.history(Context(), json=True)
    told = json.loads(capsys.readouterr().out)
    validator("history").validate(told)
    states = {run["run"]: run["state"] for run in told["runs"]}
    assert states.pop("good") == "complete"
    assert set(states.values()) == {"damaged"}
    assert {"torn", "renamed", "linked", "empty", "folder", "device", "deep"} < states.keys()
    assert len(states) == 9
    assert all(run["reason"] for run in told["runs"] if run["state"] == "damaged")
    fabfile.history(Context())
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "torn: damaged" in printed
    assert everything(tmp_path) == before


def test_no_runs_and_a_number_of_them(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(verbs.results, "PROJECT", tmp_path)
    fabfile.history(Context())
    assert "no runs yet" in capsys.readouterr().out
    for name in ("a", "b", "c"):
        make_run(results, name=name, nodes=(1,), repeats=1)
    fabfile.history(Context(), last="2", json=True)
    assert [run["run"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["b", "c"]
    for wrong in ("0", "-1", "two", "", "1e2"):
        with pytest.raises(Exit) as refused:
            fabfile.history(Context(), last=wrong)
        assert "such as --last 10" in refused.value.message


def test_a_question_names_what_varies(tmp_path: Path) -> None:

    run = load_run(make_run(tmp_path, nodes=tuple(range(1, 9))))
    axes = {**run.axes, "threads": (1, 2), "workers": ("fresh",)}
    told = question_of(run.model_copy(update={"axes": axes}))
    assert "nodes 1, 2, 3, 4, 5, 6 and 2 more; threads 1, 2" in told
    assert "fresh" not in told
