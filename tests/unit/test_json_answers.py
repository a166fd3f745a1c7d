"""What verbs print with `--json`: one object, as its documented schema says, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from invoke import Context
from invoke.exceptions import Exit
from jsonschema import Draft202012Validator

import fabfile
import verbs.plans
import verbs.results
import verbs.what_if
from collect.probe import ProbeRecord
from core.json_answer import JsonAnswer, json_text, schema_of
from core.paths import PROJECT_FOLDER
from experiments import planner
from experiments.doctor import run as doctor_run
from experiments.doctor.diagnose import diagnose
from experiments.doctor.finding import NodeAnswer, problem
from experiments.fleet import lab
from experiments.fleet.lab import LabNode
from experiments.nodes.facts import ask_facts
from experiments.planning.plan import make_plan
from experiments.probing import run as probe_run
from tests.doubles.doctor_facts import PC_GPU, answer
from tests.doubles.run_folder import make_run
from tests.doubles.scripted import ScriptedLauncher, cluster
from tests.doubles.scripted_run import matrix, world
from verbs.json_answers import ANSWERS, SCHEMAS, answer_of, file_of, schema_text

PAGE = SCHEMAS.parent / "json.md"
Ask = Callable[[], None]


@cache
def validator(verb: str) -> Draft202012Validator:
    schema = json.loads(file_of(verb).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[[str, Ask], dict[str, Any]]:
    def of(verb: str, ask: Ask) -> dict[str, Any]:
        capsys.readouterr()
        ask()
        out = capsys.readouterr().out
        assert out.isascii()
        assert out.count("\n") == 1
        found: dict[str, Any] = json.loads(out)
        validator(verb).validate(found)
        assert found["version"] == 1
        return found

    return of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (verbs.results, verbs.what_if, verbs.plans):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    make_run(tmp_path / "results", nodes=(1, 2, 4))
    return tmp_path


def test_every_verb_with_json_has_a_shape_a_schema_and_a_line_in_the_docs() -> None:
    flags = {name: signature(getattr(fabfile, name).body).parameters for name in fabfile.__all__}
    with_json = {name.replace("_", "-") for name, taken in flags.items() if "json" in taken}
    assert with_json == {verb.partition(" ")[0] for verb in ANSWERS}

    assert {file.name for file in SCHEMAS.iterdir()} == {file_of(verb).name for verb in ANSWERS}
    lines = {
        line.split("|")[1].strip(): line for line in PAGE.read_text().splitlines() if "|" in line
    }
    for verb in ANSWERS:
        assert file_of(verb).read_text() == schema_text(verb), "python -m verbs.json_answers"
        validator(verb)
        line = lines[f"`fab {verb}`"]
        assert f"(schemas/{file_of(verb).name})" in line
        fields = set(answer_of(verb).model_fields) - {"version"}
        assert fields <= set(re.findall(r"`(\w+)`", line)), verb


def test_a_schema_finds_a_wrong_answer_and_allows_a_new_field() -> None:
    right = {
        "version": 1, "run": "a", "planned": 1, "done": 1, "failed": 0, "unavailable": 0,
        "pending": 0, "unfinished": [],
    }  # fmt: skip
    assert validator("status").is_valid(right)
    assert validator("status").is_valid({**right, "new": 1})
    assert not validator("status").is_valid({**right, "done": "one"})
    assert not validator("status").is_valid({**right, "version": 2})
    assert not validator("status").is_valid({k: v for k, v in right.items() if k != "pending"})
    assert '"additionalProperties": false' not in "".join(map(schema_text, ANSWERS))


def test_a_text_that_acts_on_a_terminal_is_escaped() -> None:
    class Said(JsonAnswer):
        text: str

    text = json_text(Said(text="\x1b[2J\u202e 라마"))
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["text"] == "\x1b[2J\u202e 라마"
    assert schema_of(Said)["properties"]["text"]["type"] == "string"


def test_status(project: Path, printed: Callable[[str, Ask], dict[str, Any]]) -> None:
    told = printed("status", lambda: fabfile.status(Context(), json=True))
    assert told["planned"] == sum(told[one] for one in ("done", "failed", "unavailable", "pending"))
    failed = [one for one in told["unfinished"] if one["state"] == "failed"]
    assert sum(one["trials"] for one in failed) == told["failed"] > 0
    assert all("ended with status 1" in one["reason"] for one in failed)


def test_models(printed: Callable[[str, Ask], dict[str, Any]]) -> None:
    told = printed("models", lambda: fabfile.models(Context(), json=True))
    [small] = [one for one in told["models"] if one["name"] == "stories15m"]
    assert {(file["format"], file["weights"]) for file in small["files"]} >= {("dllama", "q4_0")}
    assert small["dllama_nodes"]["f32"]


def test_plan(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    printed: Callable[[str, Ask], dict[str, Any]],
) -> None:
    asked = ask_facts(cluster(3), ScriptedLauncher(world(tmp_path)))
    made = make_plan(matrix(), asked, project / "results")
    monkeypatch.setattr(planner, "plan_matrix", lambda *_args, **_flags: made)
    told = printed("plan", lambda: fabfile.plan(Context(), json=True))
    possible = {cell["cell_id"] for cell in told["cells"] if cell["cannot_run"] is None}
    assert 0 < len(possible) < len(made.cells)
    assert {trial["cell_id"] for trial in told["trials"]} == possible
    assert len(told["trials"]) == sum(trial.cell_id in possible for trial in made.trials)
    assert [node["name"] for node in told["nodes"]] == ["pi1", "pi2", "pi3"]
    assert told["guessed_cells"] > 0
    assert told["precision"] is None
    assert told["repeats"] == []
    told = printed("plan", lambda: fabfile.plan(Context(), precision="3%", json=True))
    assert told["precision"] == pytest.approx(0.03)
    assert [one["repeats"] for one in told["repeats"]] == [None] * len(made.cells), "no pilot"


def test_lab_status(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[[str, Ask], dict[str, Any]]
) -> None:
    told = ("pi1", "10.77.0.101", "running", None, "2048 MiB", 0.25, "amd64", "")
    node = LabNode(*told, is_emulated=False)
    for nodes in ([node], []):
        monkeypatch.setattr(lab, "lab_status", lambda found=nodes: found)
        told = printed("lab-status", lambda: fabfile.lab_status(Context(), json=True))
        assert [one["name"] for one in told["nodes"]] == [one.name for one in nodes]


def test_the_doctor_also_reports_by_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[[str, Ask], dict[str, Any]]
) -> None:
    silent = NodeAnswer("pi2", "192.0.2.2", "192.0.2.2", silence=problem("ssh", "No.", "Try."))
    known = [answer(PC_GPU, "desk"), silent]
    monkeypatch.setattr(doctor_run, "examine", lambda *_a, **_f: diagnose(known))

    def ask() -> None:
        with pytest.raises(Exit) as ended:
            fabfile.doctor(Context(), json=True)
        assert ended.value.code == 1

    told = printed("doctor", ask)
    assert told["verdict"] == "problem"
    assert told["nodes"][0]["facts"]["gpu"]["gpus"]
    assert told["nodes"][1]["facts"] is None


def test_probe(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[[str, Ask], dict[str, Any]]
) -> None:
    stored = {
        "started_at": 1.8e9,
        "took_s": 2.0,
        "nodes": [{"name": "pi1", "machine": {}, "threads": 4}],
    }
    record = ProbeRecord.model_validate_json(json.dumps(stored))
    monkeypatch.setattr(probe_run, "probe", lambda *_args: (record, Path("x")))
    told = printed("probe", lambda: fabfile.probe(Context(), json=True))
    del told["version"]
    assert ProbeRecord.model_validate_json(json.dumps(told)) == record


def test_what_if(project: Path, printed: Callable[[str, Ask], dict[str, Any]]) -> None:
    told = printed("what-if", lambda: fabfile.what_if(Context(), nodes="2,8", json=True))
    assert told["fits"]
    assert {one["nodes"] for one in told["answers"]} <= {2, 8}
    flags = {"machine": "Raspberry Pi 5 8GB", "model": "llama3.1-8b-instruct", "nodes": "4,16"}
    told = printed(
        "what-if --machine",
        lambda: fabfile.what_if(Context(), engine="distributed-llama", json=True, **flags),
    )
    four, many = told["answers"]
    assert four["low_ms"] < four["ms_per_token"] < four["high_ms"]
    assert "KV heads" in many["cannot"]
    assert many["ms_per_token"] is None


def test_an_error_leaves_standard_output_empty(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exit) as ended:
        fabfile.status(Context(), run="none", json=True)
    assert ended.value.code == 1
    assert "none" in ended.value.message
    assert capsys.readouterr().out == ""


ANSWERING = """
import sys
from invoke import Context
from invoke.exceptions import Exit
from core.json_answer import JsonAnswer
from verbs.verb import say, say_json, verb

@verb()
def judging(_context):
    say("a line")
    say_json(JsonAnswer())
    raise Exit(code=3)

try:
    judging(Context())
except Exit as ended:
    sys.stderr.write(ended.message or "")
    sys.exit(ended.code)
"""


@pytest.mark.parametrize(
    ("device", "code", "told"),
    [("closed", 3, ""), ("/dev/full", 1, "Writing the answer to standard output: No space left")],
)
def test_an_answer_that_no_one_reads_does_not_change_the_exit_code(
    device: str, code: int, told: str
) -> None:
    """`fab compare-runs … --fail-below 5% | head -1` must not pass; a full disk is an error."""
    if device == "closed":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(device, os.O_WRONLY)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", ANSWERING], stdout=writing, stderr=subprocess.PIPE, text=True,
            cwd=PROJECT_FOLDER, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert ended.returncode == code
    assert ended.stderr.startswith(told)
    assert "Traceback" not in ended.stderr
    assert bool(ended.stderr) == bool(told)
