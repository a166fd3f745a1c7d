"""Another way to nodes, children of this process: what drives nodes takes it as it is."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from collect.attempt import AttemptRecord, load_attempt
from collect.tables import build_tables
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.fleet.cluster import Cluster, Node
from experiments.nodes.herd import Herd
from experiments.nodes.owner import Owner
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import make_progress
from tests.doubles.child_launcher import ChildLauncher
from tests.doubles.installed import install
from tests.doubles.scripted import LOGS
from tests.doubles.scripted_run import matrix

DLLAMA = f"""\
#!{sys.executable}
import os, pathlib, signal, socket, sys
logs, words = pathlib.Path({str(LOGS)!r}), sys.argv[1:]
if words[0] == "worker":
    host, port = (words[words.index(flag) + 1] for flag in ("--host", "--port"))
    listener = socket.create_server((host, int(port)))
    sys.stdout.write((logs / "n4" / "worker1.out").read_text())
    sys.stdout.flush()
    signal.pause()
if pathlib.Path(sys.argv[0]).with_name("fails").exists():
    sys.exit("it fails")
if pathlib.Path(sys.argv[0]).with_name("swaps").exists():
    model = pathlib.Path(words[words.index("--model") + 1])
    before = model.stat()
    if model.read_bytes() != b"another":
        model.write_bytes(b"another")
        os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
if pathlib.Path(sys.argv[0]).with_name("links").exists():
    model = pathlib.Path(words[words.index("--model") + 1])
    if not model.is_symlink():
        model.rename(model.with_name("moved"))
        model.symlink_to(model.with_name("moved"))
nodes = 1 + sum(word.endswith(":9990") for word in words)
sys.stdout.write((logs / f"n{{nodes}}" / "root.out").read_text())
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder in which an engine and a model are installed."""
    return install(tmp_path / "machine", DLLAMA)


def nodes() -> Cluster:
    addresses = {f"pi{number}": f"127.91.0.{number}" for number in (1, 2)}
    return Cluster(tuple(Node(name, address, address) for name, address in addresses.items()))


def measure(folder: Path, machine: Path, *, workers: str = "fresh") -> RunResult:
    axes = {**matrix().axes, "nodes": (1, 2), "workers": (workers,)}
    asked = matrix(axes=axes, max_attempts=1)
    progress = make_progress(Console(file=sys.stderr, quiet=True))
    return run_on(asked, nodes(), ChildLauncher(machine), folder / "results", progress=progress)


def attempts(result: RunResult) -> list[AttemptRecord]:
    return [load_attempt(path) for path in sorted((result.folder / "attempts").iterdir())]


@pytest.mark.parametrize("workers", ["fresh", "kept"])
def test_a_run_is_measured_recorded_and_complete(
    tmp_path: Path, machine: Path, workers: str
) -> None:
    result = measure(tmp_path, machine, workers=workers)

    assert result.counts == {"planned": 4, "done": 4, "failed": 0, "unavailable": 0, "pending": 0}
    of_two = next(one for one in attempts(result) if len(one.processes) == 2)
    ends = {one.role: (one.exit_code, one.signal, one.kept) for one in of_two.processes}
    assert ends == {"root": (0, None, False), "worker": (None, None, workers == "kept")}
    assert of_two.root_wall_s is not None
    assert of_two.nodes["pi2"].after is not None
    assert (build_tables(result.folder).trials["decode_tokens_per_s"] > 0).all()
    assert measure(tmp_path, machine, workers=workers).already_complete


@pytest.mark.parametrize("workers", ["fresh", "kept"])
def test_an_attempt_has_the_hash_of_the_weights_that_its_process_read(
    tmp_path: Path, machine: Path, workers: str
) -> None:
    result = measure(tmp_path, machine, workers=workers)

    sha256 = hashlib.sha256(b"weights").hexdigest()
    # The worker of this engine gets its part from the root.
    assert [one.weights_sha256 for one in attempts(result)] == [{"pi1": sha256}] * 4
    assert set(build_tables(result.folder).attempts["weights_sha256"]) == {sha256}


def test_weights_that_are_swapped_unseen_make_every_attempt_fail(
    tmp_path: Path, machine: Path
) -> None:
    """They keep their size and time of change; only their inode's time tells."""
    (machine / "engines" / "distributed-llama" / "bin" / "swaps").touch()

    result = measure(tmp_path, machine)

    causes = [one.cause or "" for one in attempts(result)]
    assert len(causes) == 4
    assert all(".m on pi1 was replaced" in cause for cause in causes)
    assert any("was replaced: its sha256 is" in cause for cause in causes)


def test_weights_that_become_a_link_make_every_attempt_fail(tmp_path: Path, machine: Path) -> None:
    (machine / "engines" / "distributed-llama" / "bin" / "links").touch()

    result = measure(tmp_path, machine)

    causes = [one.cause or "" for one in attempts(result)]
    assert any("is missing or no regular file" in cause for cause in causes)
    assert result.counts["done"] == 0


def test_a_root_that_fails_is_a_failed_attempt_with_its_log(tmp_path: Path, machine: Path) -> None:
    (machine / "engines" / "distributed-llama" / "bin" / "fails").touch()

    result = measure(tmp_path, machine)

    assert result.counts["failed"] == 4
    record = attempts(result)[0]
    root = next(one for one in record.processes if one.role == "root")
    assert root.exit_code == 1
    log = result.folder / "attempts" / record.attempt_id / str(root.err_file)
    assert log.read_text() == "it fails\n"


def test_a_model_that_is_not_what_its_manifest_says_keeps_its_node_away(
    tmp_path: Path, machine: Path
) -> None:
    for path in machine.glob("models/*/*.m"):
        path.write_bytes(b"another")

    with pytest.raises(HerdError, match="The file was changed or is damaged"):
        measure(tmp_path, machine)


def test_one_runner_has_the_nodes(tmp_path: Path, machine: Path) -> None:
    other = Owner("ada", "attic", 4711, "2026-01-01T00:00:00")
    herd = Herd(ChildLauncher(machine), nodes().nodes, other)
    herd.own_all()
    try:
        with pytest.raises(HerdError, match="the runner of ada@attic"):
            measure(tmp_path, machine)
    finally:
        herd.close()


STARTS_ONE = """\
import pathlib, sys, time
from experiments.fleet.cluster import Node
from experiments.nodes.launcher import Request
from tests.doubles.child_launcher import ChildLauncher
conversation = ChildLauncher(pathlib.Path(sys.argv[1])).open(Node("pi1", "127.0.0.1", "127.0.0.1"))
conversation.send(Request("start", (("unit", "u"), ("arg", "sleep"), ("arg", "600"))))
print(conversation._children["u"].process.pid, flush=True)
time.sleep(600)
"""


def test_what_a_killed_process_started_ends_with_it(tmp_path: Path) -> None:
    words = [sys.executable, "-c", STARTS_ONE, str(tmp_path)]
    with subprocess.Popen(words, cwd=PROJECT_FOLDER, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        started = Path("/proc", killed.stdout.readline().strip())
        assert started.is_dir()
        killed.kill()
    until = time.monotonic() + 10
    while _is_alive(started) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _is_alive(started)


def _is_alive(process: Path) -> bool:
    """Whether a process runs; one that ended may wait for whoever inherits it."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
