"""Whole runs that ask an API from this machine: the ledger, failures, a planted key, a kill."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from analysis.report import write_report
from collect.account import Account
from collect.tables import build_tables
from core.errors import HerdError
from experiments.fleet.cluster import Cluster, Node
from experiments.planning.preflight import check_controller
from experiments.runner import RunResult
from tests.doubles.api_server import (
    Behaviour,
    answering,
    delta,
    refusing,
    saying,
    serving,
    stalling,
)
from tests.doubles.asking_run import matrix, run, systems_file
from tests.doubles.proxy import proxying

PROJECT = Path(__file__).resolve().parents[2]
KEY = "sk-planted-3b1f9c27"


@pytest.fixture(autouse=True)
def _planted_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)


def asked(
    tmp_path: Path,
    *behaviours: Behaviour,
    questions: Iterable[str] = ("Why?", "왜?"),
    **more: object,
) -> tuple[RunResult, int, str]:
    """The result, how many requests there were, and what was printed."""
    printed = StringIO()
    with serving(*behaviours) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"), key_env="A_KEY")
        console = Console(file=printed, width=1000)
        result = run(tmp_path, matrix(path, *questions, **more), console=console)
    return result, len(requests), printed.getvalue()


def written(folder: Path) -> bytes:
    """All that lies below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_run_of_an_api_needs_no_node_and_is_whole(tmp_path: Path) -> None:
    result, requests, _ = asked(tmp_path, saying("yes"), saying("네"))

    assert result.counts == {
        "planned": 1, "done": 1, "failed": 0, "unavailable": 0, "pending": 0,
    }  # fmt: skip
    assert requests == 2, "an API is not warmed up"
    tables = build_tables(result.folder)
    assert list(tables.answers["text"]) == ["yes", "네"]
    assert list(tables.answers["replayed"]) == [False, False]
    assert (tables.answers["total_ms"] > 0).all()
    assert list(tables.trials["system"]) == ["api"]
    assert list(tables.trials["nodes"]) == [0]
    assert list(tables.nodes["node"]) == ["controller"]
    manifest = Account.read(result.folder).manifest
    assert manifest.systems["api"].model == "m"
    assert manifest.nodes == {}


@pytest.mark.parametrize(
    "behaviours",
    [
        (saying("yes"), saying(KEY)),
        (refusing("400 Bad", f"{KEY} is bad"),) * 2,
        (refusing("401 No", f"wrong key {KEY}"),),
        (answering(delta(KEY[:4]), delta(KEY[4:])),) * 2,
    ],
)
def test_a_planted_key_is_written_nowhere(
    tmp_path: Path, behaviours: tuple[Behaviour, ...]
) -> None:
    result, _, printed = asked(tmp_path, *behaviours)

    everything = written(tmp_path) + printed.encode() + " ".join(result.notes).encode()
    assert KEY.encode() not in everything
    assert b"A_KEY" in everything, "what is searched is what was written"
    assert b"uthorization" not in everything


def test_the_login_of_a_proxy_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = "kim:pw-planted-98765"
    printed = StringIO()
    with (
        serving(saying("yes"), refusing("403 No", f"{login} is bad")) as (url, _),
        proxying(urlsplit(url).port or 0, login=login) as proxied,
    ):
        monkeypatch.setenv("http_proxy", f"http://{login}@{proxied.address}")
        path = systems_file(tmp_path, "http://api.test/v1")
        asked_twice = matrix(path, "Why?", repeats=2, max_attempts=1)
        result = run(tmp_path, asked_twice, console=Console(file=printed, width=1000))
        write_report(result.folder, tmp_path / "reports")

    assert (result.counts["done"], result.counts["pending"]) == (1, 1)
    told = printed.getvalue() + " ".join(result.notes)
    everything = written(tmp_path) + told.encode()
    assert proxied.address.encode() in everything, "what is searched is what was written"
    for secret in ("pw-planted-98765", base64.b64encode(login.encode()).decode()):
        assert secret.encode() not in everything


def test_a_refused_key_ends_its_turn_at_once_and_uses_up_no_attempt(tmp_path: Path) -> None:
    with serving(*[refusing("401 No", "wrong")] * 3, saying("yes"), saying("yes")) as (url, sent):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"), key_env="A_KEY")
        for tries in (1, 2, 3):
            result = run(tmp_path, matrix(path, "Why?", repeats=2))
            assert len(sent) == tries
            assert result.counts["pending"] == 2
            (note,) = result.notes
            assert "the server does not accept the key in A_KEY (status 401): wrong." in note
            assert result.exit_code == 1

        assert run(tmp_path, matrix(path, "Why?", repeats=2)).counts["done"] == 2


def test_without_the_key_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY")
    with pytest.raises(HerdError, match="must be in the environment variable A_KEY"):
        asked(tmp_path, saying("yes"))
    assert not list((tmp_path / "results").glob("asked-*"))


def test_an_answer_that_broke_off_is_kept_and_its_trial_asked_again(tmp_path: Path) -> None:
    cut = answering(delta("Hel"), end="")
    result, requests, _ = asked(tmp_path, cut, saying("yes"), saying("yes"))

    assert result.counts["done"] == 1
    assert requests == 3
    answers = build_tables(result.folder).answers
    assert list(answers["text"]) == ["Hel", "yes", "yes"]
    assert answers["error"][0] == "the stream was cut before the answer ended"


def test_a_server_that_stalls_fails_in_bounded_time(tmp_path: Path) -> None:
    begun = time.monotonic()
    result, _, _ = asked(tmp_path, stalling(delta("Hel")), deadline_s=1.0, max_attempts=1)

    assert time.monotonic() - begun < 10
    attempt = Account.read(result.folder).trials[0].attempts[0]
    assert attempt.record is not None
    assert attempt.record.processes[0].result == "timeout"
    assert attempt.reason == "the client on controller was stopped at its deadline"


def test_what_a_server_refused_for_a_while_is_in_no_time(tmp_path: Path) -> None:
    busy = refusing("429 Slow", "{}", "Retry-After: 1")
    result, _, _ = asked(tmp_path, busy, saying("yes"), questions=["Why?"])

    (answer,) = build_tables(result.folder).answers.to_dict("records")
    assert answer["tries"] == 2
    assert answer["waited_ms"] > 900
    assert answer["total_ms"] < 900


def test_a_node_of_the_name_of_this_machine_is_refused(tmp_path: Path) -> None:
    node = Node(name="controller", address="", engine_address="")
    path = systems_file(tmp_path, "http://127.0.0.1:1/v1")
    with pytest.raises(HerdError, match="Give the node another name"):
        check_controller(matrix(path, "Why?").cells(), Cluster((node,)))


def test_a_killed_runner_leaves_a_whole_ledger_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    """Killed while the second trial's question waits for its answer, then begun again."""
    with serving(saying("one"), stalling(delta("t")), saying("two")) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"), key_env="A_KEY")
        both = path.read_text() + path.read_text().replace("systems:\n  api:", "  other:")
        path.write_text(both)
        argv = [sys.executable, "-m", "tests.doubles.asking_run", str(tmp_path), str(path)]
        argv += ["api,other", "Why?"]

        runner = subprocess.Popen(argv, cwd=PROJECT, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while len(requests) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait()
        (folder,) = (tmp_path / "results").glob("asked-*")
        counts = Account.read(folder).counts()
        assert (counts["done"], counts["pending"]) == (1, 1)

        assert subprocess.run(argv, cwd=PROJECT, check=False).returncode == 0

    assert len(requests) == 3
    assert Account.read(folder).counts()["done"] == 2
    assert sorted(build_tables(folder).answers["text"]) == ["one", "two"]


def test_ctrl_c_leaves_a_whole_ledger_and_no_client(tmp_path: Path) -> None:
    with serving(stalling(delta("t"))) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        argv = [sys.executable, "-m", "tests.doubles.asking_run", str(tmp_path), str(path)]
        runner = subprocess.Popen([*argv, "api", "Why?"], cwd=PROJECT, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not requests and time.monotonic() < until:
            time.sleep(0.02)
        runner.send_signal(signal.SIGINT)
        assert runner.wait(10) == 130

    (folder,) = (tmp_path / "results").glob("asked-*")
    assert Account.read(folder).counts()["pending"] == 1
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
    assert not children.exists()


@pytest.mark.parametrize("answers", ["live", "replayed"])
def test_a_run_of_an_api_has_a_report(tmp_path: Path, answers: str) -> None:
    result, _, _ = asked(tmp_path, saying("a rare word"), saying("네"))
    if answers == "replayed":
        axes = {"system": ("api",), "answers": (answers,)}
        result = run(tmp_path, matrix(tmp_path / "systems.yml", "Why?", "왜?", axes=axes))

    written_report = write_report(result.folder, tmp_path / "reports")

    assert written_report.verdict.startswith("On these two questions, ")
    assert "a rare word" in written_report.index.read_text()


def test_answers_that_were_kept_make_another_run_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, _, _ = asked(tmp_path, saying("yes"), saying("네"))
    monkeypatch.delenv("A_KEY")

    axes = {"system": ("api",), "answers": ("replayed",)}
    again = run(tmp_path, matrix(tmp_path / "systems.yml", "Why?", "왜?", axes=axes))

    assert again.folder != live.folder
    assert again.counts["done"] == 1
    tables = build_tables(again.folder)
    assert list(tables.answers["text"]) == ["yes", "네"]
    assert list(tables.answers["replayed"]) == [True, True]
    assert tables.answers[["ttft_ms", "decode_ms", "total_ms"]].isna().all(axis=None)
    assert tables.trials["decode_ms"].isna().all()
    assert list(tables.trials["answers"]) == ["replayed"]
