"""Each way in which distributed-llama fails, brought about in the real one by the real runner.

The failure matrix: what a process of the cluster suffers in the first attempt of a trial, what the
attempt says of it, and that the second attempt of the same session is done on the same nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collect.account import Account
from collect.attempt import AttemptRecord, load_attempt
from collect.tables import tables_of
from collect.workloads import Benchmark
from experiments.engines import distributed_llama
from experiments.planning.matrix import Matrix
from tests.doubles.lab_run import run
from tests.engines.conftest import (
    ROOT,
    SECOND,
    SMALL,
    TINY,
    TWELVE_HEADS,
    TWO_KV_HEADS,
    WORKER,
    RealLab,
)

BOUNDED_S = 40.0
DEADLINE_S = 15.0
PORT = distributed_llama.WORKER_PORT
MODELS = "/opt/llama-herd/models"
DAMAGED = "/dev/shm/damaged.m"  # noqa: S108 - of the node, not of this machine


def study(model: str, *nodes: int, generate: int = 8, **settings: object) -> Matrix:
    """A matrix of one cell per number of nodes, with one trial each that is attempted twice."""
    weights = "f32" if model == TWELVE_HEADS else "q4_0"
    axes = {"engine": ("distributed-llama",), "model": (model,), "weights": (weights,)}
    axes |= {"nodes": nodes, "threads": (1,), "net_turbo": (False,)}
    defaults = {"repeats": 1, "warmup": 0, "max_attempts": 2, "deadline_s": DEADLINE_S}
    return Matrix(
        title="Failures",
        workload=Benchmark(prompt_tokens=4, generate_tokens=generate),
        axes=axes,
        file="failures.yml",
        **{**defaults, **settings},
    )


def attempts(folder: Path) -> list[AttemptRecord]:
    return [load_attempt(path) for path in sorted((folder / "attempts").glob("[!.]*"))]


def instead(word: str, other: str) -> str:
    """Shell commands that replace an argument of the engine."""
    change = f'[ "$word" != "{word}" ] || word="{other}"'
    return f'for word do shift; {change}; set -- "$@" "$word"; done'


def stranger(tag: str) -> str:
    """Shell command that lets a program listen that never says a word."""
    serve = "import socket, time; s = socket.create_server(('', 9000)); time.sleep(60)"
    return f'systemd-run --quiet --collect --unit={tag} python3 -c "{serve}"'


@dataclass(frozen=True)
class Failure:
    """A way to fail.

    Attributes:
        cause: what the attempt must say of it.
        mischief: node to commands that come before the engine there; `{worker}` and `{second}`
            stand for the addresses of the first two workers.
        nodes: how many take part.
        generate: tokens; many where the failure must come while they are generated.
        unlimited: the number of nodes is one that our own check refuses.
        killed: the node whose process is killed, after which words, and how long after them.
    """

    cause: tuple[str, ...]
    mischief: Mapping[str, str] = field(default_factory=dict)
    model: str = TINY
    nodes: int = 2
    generate: int = 8
    unlimited: bool = False
    killed: tuple[str, str, float] | None = None


def model_file(name: str) -> str:
    """Path of a model of the catalogue on the root's node."""
    slug = name.replace(":", "-")
    return f"{MODELS}/{slug}/{slug}-q4_0.m"


def damaged(command: str, name: str = TINY) -> str:
    """The root reads what a command makes of the model file."""
    return f"{command} >{DAMAGED}\n{instead(model_file(name), DAMAGED)}"


FAILURES = {
    "worker killed while the root generates": Failure(
        cause=(f"the worker on {WORKER} ended by signal 9 (SIGKILL)", "a node went away"),
        model=SMALL,
        generate=400,
        killed=(WORKER, "Weights loaded", 1.0),
    ),
    "worker killed before the root connects": Failure(
        cause=(
            f"the worker on {WORKER} ended by signal 9 (SIGKILL)",
            f"could not connect to the worker at {{worker}}:{PORT} (Connection refused)",
        ),
        mischief={ROOT: "sleep 2"},
        killed=(WORKER, "Listening on", 1.0),
    ),
    "worker without memory": Failure(
        cause=(f"the worker on {WORKER}", "not enough memory", f"the root on {ROOT}"),
        mischief={WORKER: "ulimit -v 30000"},
        model=SMALL,
    ),
    "small part of a model missing": Failure(
        cause=(f"the root on {ROOT}", "the model file is 1000 bytes too short"),
        mischief={ROOT: damaged(f"head -c -1000 {model_file(TINY)}")},
    ),
    "most of a model missing": Failure(
        cause=(f"the root on {ROOT} ended", "the model file"),
        mischief={ROOT: damaged(f"head -c 20000000 {model_file(SMALL)}", SMALL)},
        model=SMALL,
    ),
    "header cut off": Failure(
        cause=(f"the root on {ROOT}", "the model file is cut off"),
        mischief={ROOT: damaged(f"head -c 20 {model_file(TINY)}")},
    ),
    "web page instead of a model": Failure(
        cause=(f"the root on {ROOT}", "the file is no model of distributed-llama"),
        mischief={ROOT: damaged("printf '<!doctype html><title>Not found</title>'")},
    ),
    "model that is not there": Failure(
        cause=(f"the root on {ROOT}", "/nowhere.m", "No such file or directory"),
        mischief={ROOT: instead(model_file(TINY), "/nowhere.m")},
    ),
    "number of nodes that does not divide the heads": Failure(
        cause=(f"the root on {ROOT}", "(SIGABRT)", "cannot be divided by that number of nodes"),
        nodes=3,
        unlimited=True,
    ),
    "more nodes than KV heads": Failure(
        cause=(f"the root on {ROOT}", "use fewer nodes or a model with more KV heads"),
        model=TWO_KV_HEADS,
        nodes=4,
        unlimited=True,
    ),
    "stranger where the worker should listen": Failure(
        cause=(
            f"the root on {ROOT} was stopped at its deadline",
            "while it was connecting to {worker}:9000: what listens there may not be a worker",
        ),
        mischief={ROOT: instead("{worker}:9990", "{worker}:9000")},
    ),
    "root killed while it loads": Failure(
        cause=(f"the root on {ROOT} ended by signal 9 (SIGKILL) while it was loading the weights",),
        model=SMALL,
        killed=(ROOT, "Loading weights", 0.0),
    ),
    "root killed while it generates": Failure(
        cause=(f"the root on {ROOT} ended by signal 9 (SIGKILL) after it had loaded the weights",),
        model=SMALL,
        generate=400,
        killed=(ROOT, "Pred", 0.5),
    ),
    "more threads than cores on a worker": Failure(
        cause=(f"the worker on {WORKER}", "more threads than cores were asked for"),
        mischief={WORKER: 'set -- "$@" --nthreads 999'},
    ),
    "worker of an unknown name": Failure(
        cause=(f"the root on {ROOT}", "could not find the address of the worker nobody.invalid"),
        mischief={ROOT: instead("{worker}:9990", "nobody.invalid:9990")},
    ),
    "second worker absent": Failure(
        cause=(f"the root on {ROOT}", "could not connect to the worker at {second}:9001"),
        mischief={ROOT: instead("{second}:9990", "{second}:9001")},
        nodes=4,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_in_words_and_the_next_attempt_succeeds(
    name: str, sound: RealLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = FAILURES[name]
    places = {"worker": sound.address(WORKER), "second": sound.address(SECOND)}
    if "stranger" in name:
        sound.on(WORKER, stranger("stranger"))
    for node, mischief in failure.mischief.items():
        here = mischief.replace("{worker}", places["worker"])
        sound.plant(node, here.replace("{second}", places["second"]))
    if failure.killed:
        sound.lie_in_wait(*failure.killed)
    again = 2
    if failure.unlimited:
        monkeypatch.setattr(distributed_llama, "dllama_impossible", lambda *_: None)
        again = 1
    asked = study(failure.model, failure.nodes, generate=failure.generate, max_attempts=again)

    result = run(sound.inventory, tmp_path, asked)

    first, *others = attempts(result.folder)
    assert first.outcome == "failed", first.cause
    assert str(first.cause).startswith(failure.cause[0])
    for words in failure.cause:
        assert words.format(**places) in str(first.cause)
    assert first.trial_wall_s < BOUNDED_S
    told = {process.node: process.out_file for process in first.processes}
    assert len(told) == failure.nodes
    assert all(
        log and (result.folder / "attempts" / first.attempt_id / log).exists()
        for log in told.values()
    )
    assert [other.outcome for other in others] == ["done"] * (again - 1)
    assert sound.units() == {}


def test_a_port_that_a_stranger_has_is_told_with_who_has_it(sound: RealLab, tmp_path: Path) -> None:
    serve = f"import socket, time; s = socket.create_server(('', {PORT})); time.sleep(60)"
    start = "systemd-run --quiet --collect --unit=taken"
    sound.on(WORKER, f'{start} python3 -c "{serve}"')
    try:
        result = run(sound.inventory, tmp_path, study(TINY, 2, max_attempts=1))
    finally:
        sound.on(WORKER, "systemctl stop taken")

    (only,) = attempts(result.folder)
    told = f"the worker on {WORKER} did not start: port {PORT} is taken by python3"
    assert told in str(only.cause)


def test_a_full_disk_for_logs_is_told_and_works_again_when_there_is_room(
    sound: RealLab, tmp_path: Path
) -> None:
    sound.on(ROOT, "dd if=/dev/zero of=/var/lib/llama-herd/filling bs=64k 2>/dev/null || true")
    try:
        full = run(sound.inventory, tmp_path / "full", study(TINY, 2, max_attempts=1))
    finally:
        sound.on(ROOT, "rm /var/lib/llama-herd/filling")
    again = run(sound.inventory, tmp_path / "again", study(TINY, 2))

    (only,) = attempts(full.folder)
    assert f"the disk of {ROOT} is full" in str(only.cause)
    assert again.exit_code == 0


def test_one_two_four_and_eight_nodes_are_measured(sound: RealLab, tmp_path: Path) -> None:
    result = run(sound.inventory, tmp_path, study(TINY, 1, 2, 4, 8, repeats=2))
    assert result.counts["done"] == 8
    tokens = tables_of(Account.read(result.folder)).trials["generated_tokens"]
    assert set(tokens) == {8}


def test_twelve_heads_are_shared_by_three_and_give_the_text_of_one(
    sound: RealLab, tmp_path: Path
) -> None:
    result = run(sound.inventory, tmp_path, study(TWELVE_HEADS, 1, 3, 6))
    trials = tables_of(Account.read(result.folder)).trials
    assert list(trials["state"]) == ["done"] * 3
    assert trials["text_sha256"].nunique() == 1


def test_kept_workers_are_replaced_after_one_was_killed(sound: RealLab, tmp_path: Path) -> None:
    asked = study(SMALL, 2, repeats=3, generate=100)
    asked = asked.override(axes={"workers": "kept"})
    sound.lie_in_wait(WORKER, "Weights loaded", 0.5)
    result = run(sound.inventory, tmp_path, asked)
    failed, *others = sorted(attempts(result.folder), key=lambda one: one.outcome == "done")
    assert str(failed.cause).startswith(f"the worker on {WORKER} ended by signal 9 (SIGKILL)")
    assert [attempt.outcome for attempt in others] == ["done"] * 3
