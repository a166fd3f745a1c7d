"""The double of distributed-llama dies and speaks as the recorded one does."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collect.parsers.distributed_llama import parse_log

TESTS = Path(__file__).parents[1]
SOURCE = TESTS / "doubles" / "dllama_source"
RECORDED = TESTS / "data" / "distributed-llama"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def dllama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The double, built as the role builds it."""
    folder = tmp_path_factory.mktemp("double")
    for file in SOURCE.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    subprocess.run(["make", "--silent", "dllama"], cwd=folder, check=True)
    return folder / "dllama"


class Worker:
    """A worker on a free port of this machine."""

    def __init__(self, dllama: Path, out: Path) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            self.port = free.getsockname()[1]
        self.out = out
        command = ["stdbuf", "-oL", str(dllama), "worker", "--host", HOST, "--port", str(self.port)]
        with out.open("wb") as stream:
            self.process = subprocess.Popen(command, stdout=stream)
        self.wait_for("Listening on ")

    def wait_for(self, words: str, times: int = 1) -> None:
        limit = time.monotonic() + 10
        while self.out.read_text().count(words) < times:
            assert time.monotonic() < limit, f"{words} did not come: {self.out.read_text()}"
            time.sleep(0.01)

    @property
    def lines(self) -> list[str]:
        return self.out.read_text().replace(f":{self.port}...", ":PORT...").splitlines()


@pytest.fixture
def worker(dllama: Path, tmp_path: Path) -> Iterator[Worker]:
    started = Worker(dllama, tmp_path / "worker.out")
    yield started
    started.process.kill()
    started.process.wait()


def recorded(case: str, file: str) -> list[str]:
    text = (RECORDED / case / file).read_text()
    return re.sub(r":\d+\.\.\.", ":PORT...", text).splitlines()


def test_a_bare_connection_kills_the_worker_with_the_recorded_words(worker: Worker) -> None:
    socket.create_connection((HOST, worker.port)).close()
    assert worker.process.wait(timeout=10) == 1
    real = recorded("root_killed_load", "w1.out")
    assert worker.lines == [*real[:2], real[-1]]


def test_two_roots_one_after_the_other_are_served_as_recorded(worker: Worker, dllama: Path) -> None:
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
    worker: Worker, dllama: Path
) -> None:
    command = [str(dllama), "worker", "--host", HOST, "--port", str(worker.port)]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    assert second.returncode == 1
    assert second.stdout.splitlines() == recorded("port_in_use", "w1b.out")
    other = subprocess.run([str(dllama), "--help"], capture_output=True, text=True, check=False)
    assert (other.returncode, other.stdout) == (1, "🚨 Critical error: Unsupported mode\n")
