"""Engines answer questions: nothing is fetched, started, sent or written for an answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collect.workloads import Workload
from experiments.engines import ENGINES, ON_NODES, common
from experiments.engines.base import Cell, Endpoint
from experiments.fleet.cluster import Cluster, Installation
from experiments.planning.lacks import lacks_of
from experiments.planning.preflight import describe_memory, describe_models
from models.catalogue import load_catalogue
from models.fetch import is_fetched
from tests.doubles.workloads import WORKLOADS
from tests.unit.test_engines import cell, cluster

DEEDS = {
    *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn"),
    *("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"),
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.utime", "shutil.rmtree", "shutil.copyfile", "fcntl.flock"),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
seen: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Python says what it does; so no way to do it is overlooked."""
    if seen is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & WRITING and "__pycache__" not in str(path):
            seen.append(f"open {path} for writing")
    elif event in DEEDS:
        seen.append(f"{event} {arguments}")


sys.addaudithook(_watch)


@contextmanager
def nothing_done() -> Iterator[None]:
    global seen  # noqa: PLW0603 - a hook of the interpreter cannot be taken away again
    seen = []
    try:
        yield
    finally:
        done, seen = seen, None
    assert done == []


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    common.encoder.cache_clear()
    common.splitter.cache_clear()
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    common.encoder.cache_clear()
    common.splitter.cache_clear()


def of(engine: str, workload: Workload, **params: object) -> Cell:
    if engine in ON_NODES:
        one = cell(engine, nodes=2, **params)
        return Cell({**one.params}, workload)
    api = {"engine": engine, "model": "gpt", "nodes": 0, "weights": "unknown", "workers": "fresh"}
    endpoint = Endpoint("http://127.0.0.1:1/v1", None, "max_tokens", {}, None)
    return Cell({**api, "answers": "live"}, workload, endpoint=endpoint)


def bare(kind: str) -> Cluster:
    machines = cluster()
    if kind == "whole":
        return machines
    gone = Installation("any", installed=False, reason="no source")
    engines = dict.fromkeys(ON_NODES, gone) if kind == "refused" else {}
    return Cluster(
        tuple(
            replace(node, engines=engines, model_sha256={}, memory_mib=64)
            for node in machines.nodes
        )
    )


@pytest.mark.parametrize("there", ["whole", "nothing", "refused"])
@pytest.mark.parametrize("model", ["stories15m+kv16", "tinyllama-1.1b"])
@pytest.mark.parametrize("kind", WORKLOADS)
@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_model_in_the_cache_every_question_is_answered_by_looking(
    engine: str, kind: str, model: str, there: str, empty_cache: Path
) -> None:
    one = of(engine, WORKLOADS[kind], **({"model": model} if engine in ON_NODES else {}))
    machines = bare(there)

    with nothing_done():
        obstacle = ENGINES[engine].check(one, machines)
        ENGINES[engine].identity(one, machines)
        ENGINES[engine].memory(one)
        lacks_of([one], machines)
        describe_models([one])
        describe_memory([one], machines)
        if obstacle is None:
            ENGINES[engine].deploy(one, machines)

    if engine in ON_NODES and there != "whole" and kind in ENGINES[engine].workloads:
        assert "not installed" in str(obstacle)
    assert not empty_cache.exists()


@pytest.mark.parametrize("engine", ON_NODES)
def test_what_would_have_to_be_fetched_is_named_with_the_command(
    engine: str, empty_cache: Path
) -> None:
    if "greedy" not in ON_NODES[engine].workloads:
        pytest.skip("it is not held against the reference")
    told = ENGINES[engine].check(of(engine, WORKLOADS["greedy"]), cluster())

    assert "not on this machine: run `" in str(told)
    assert "models fetch stories15m" in str(told)
    assert not empty_cache.exists()


@pytest.mark.parametrize("engine", ON_NODES)
def test_with_the_model_in_the_cache_it_is_read_and_nothing_else(engine: str) -> None:
    if not is_fetched(load_catalogue().get("stories15m")):
        pytest.skip("stories15m is not in the cache")
    common.encoder.cache_clear()
    common.splitter.cache_clear()
    for kind in ON_NODES[engine].workloads:
        one = of(engine, WORKLOADS[kind])
        with nothing_done():
            assert ENGINES[engine].check(one, cluster()) is None
            ENGINES[engine].deploy(one, cluster())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_workload_that_an_engine_does_not_have_is_refused_by_name(engine: str) -> None:
    for kind in WORKLOADS.keys() - set(ENGINES[engine].workloads):
        told = str(ENGINES[engine].check(of(engine, WORKLOADS[kind]), cluster()))
        assert kind in told or "questions" in told


def test_the_watch_sees_what_is_done(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="for writing"), nothing_done():
        (tmp_path / "file").write_text("x")
