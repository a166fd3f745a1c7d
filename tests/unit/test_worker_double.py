"""The double of distributed-llama dies and speaks as the recorded one does."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collect.parsers.distributed_llama import parse_log
from tests.doubles.dllama_double import HOST, Started, anonymous, build
from tests.doubles.recorded_logs import DATA


@pytest.fixture(scope="module")
def dllama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("double")) / "dllama"


@pytest.fixture
def worker(dllama: Path, tmp_path: Path) -> Iterator[Started]:
    started = Started([str(dllama), "worker", "--host", HOST], tmp_path / "worker")
    started.wait_for("Listening on ")
    yield started
    started.end()


def recorded(case: str, file: str) -> list[str]:
    return anonymous((DATA / case / file).read_text()).splitlines()


def test_a_bare_connection_kills_the_worker_with_the_recorded_words(worker: Started) -> None:
    socket.create_connection((HOST, worker.port)).close()
    assert worker.process.wait(timeout=10) == 1
    real = recorded("root_killed_load", "w1.out")
    assert worker.lines == [*real[:2], real[-1]]


def test_two_roots_one_after_the_other_are_served_as_recorded(
    worker: Started, dllama: Path
) -> None:
    command = [str(dllama), "inference", "--prompt", "!!!", "--steps", "7"]
    command += ["--workers", f"{HOST}:{worker.port}"]
    for served in (1, 2):
        done = subprocess.run(command, capture_output=True, check=False, timeout=10)
        assert done.returncode == 0
        worker.wait_for("Listening on ", times=served + 1)
    real = recorded("inf_small_q40_n2", "worker1.out")
    begin, end = real[:6], real[-3:]
    session = worker.lines[: worker.lines.index(end[0]) + 3]
    assert session[:6] == begin
    assert session[-3:] == end


def test_its_root_prints_what_the_parser_takes_for_a_whole_log(dllama: Path) -> None:
    command = [str(dllama), "inference", "--prompt", "!!!", "--steps", "7"]
    out = subprocess.run(command, capture_output=True, check=True, timeout=10).stdout
    with (dllama.parent / "root.out").open("wb+") as stream:
        stream.write(out)
        stream.seek(0)
        log = parse_log(stream)
    assert (log.era, log.outcome, log.flags) == ("E", "complete", ())
    assert [record.tokens for record in log.records] == [3, 1, 1, 1, 1]


def test_a_taken_port_and_an_unknown_mode_are_told_as_recorded(
    worker: Started, dllama: Path
) -> None:
    command = [str(dllama), "worker", "--host", HOST, "--port", str(worker.port)]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    assert second.returncode == 1
    assert second.stdout.splitlines() == recorded("port_in_use", "w1b.out")
    other = subprocess.run([str(dllama), "--help"], capture_output=True, text=True, check=False)
    assert (other.returncode, other.stdout) == (1, "🚨 Critical error: Unsupported mode\n")
