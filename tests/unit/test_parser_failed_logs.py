"""What a log of distributed-llama says of a failure, in words, and what is no measurement."""

import time

import pytest

from collect.parsers import dllama_failures
from collect.parsers.distributed_llama import measurement
from core.errors import HerdError
from tests.doubles.recorded_logs import DATA, parsed


@pytest.mark.parametrize(
    ("case", "name", "outcome", "words"),
    [
        ("kill_worker_mid", "root", "failed", "Connection reset by peer (a node went away)"),
        ("kill_worker_mid", "w1", "failed", "Connection reset by peer"),
        ("kill_worker_mid", "w2", "truncated", None),
        ("nofile", "root", "failed", "Cannot open model file (models/none.m): No such file"),
        ("non_pow2_n3", "root", "failed", "cannot be divided by that number of nodes"),
        ("oom_worker", "root", "truncated", None),
        ("oom_worker", "w1", "failed", "posix_memalign failed (not enough memory)"),
        ("q40_f32buf", "root", "failed", "this needs --buffer-float-type q80"),
        ("root_killed_load", "w1", "failed", "Socket closed (the other side closed"),
        ("steps_zero", "root", "failed", "Number of steps is required"),
        ("long_prompt", "root", "failed", "greater than the number of steps"),
        ("port_in_use", "w1b", "failed", "Cannot bind port: Address already in use"),
        ("port_in_use", "w1", "complete", None),
        ("host_is_name", "w", "failed", "the address to listen on must be an IPv4 address"),
        ("api_worker_killed", "root", "failed", "could not connect to the worker at 127.0.0.1"),
        ("api_n2", "root", "failed", "type must be string, but is array"),
        ("missing_model", "root", "truncated", None),
    ],
)
def test_a_failure_is_told_in_words(case: str, name: str, outcome: str, words: str | None) -> None:
    log = parsed(case, name)
    assert log.outcome == outcome
    if words is None:
        assert log.error is None
    else:
        assert log.error is not None
        assert words in log.error


@pytest.mark.parametrize("case", ["kill_worker_mid", "oom_worker", "missing_model", "non_pow2_n3"])
def test_a_log_without_its_summary_is_no_measurement(case: str) -> None:
    folder = DATA / case
    err = folder / "root.err"
    with pytest.raises(HerdError, match="without its summary"):
        measurement((folder / "root.out").read_bytes(), err.read_bytes() if err.exists() else b"")


def test_a_log_torn_anywhere_is_no_measurement() -> None:
    whole = (DATA / "inf_small_q40_n1" / "root.out").read_bytes()
    end = whole.rindex(b"ms/tok)")
    for size in range(0, end + len(b"ms/tok"), 7):
        with pytest.raises(HerdError):
            measurement(whole[:size], b"")


def test_workers_that_serve_and_wait_again_are_complete_in_every_version() -> None:
    assert parsed("inf_small_q40_n2", "worker1").outcome == "complete"
    assert parsed("heads12_n3", "worker2").outcome == "complete"
    eras = {
        case: parsed(case, "worker1").era
        for case in ("old_v0.3.1_n2", "old_v0.4.0_n2", "old_v0.9.2_n2", "inf_small_q40_n2")
    }
    # The worker of v0.4.0 prints what v0.5.0 prints, and v0.12.0 what v0.12.8 prints.
    assert list(eras.values()) == ["A", None, "C", "E"]
    assert parsed("old_v0.12.0_n2", "worker1").era is None
    assert parsed("old_v0.12.0_n2", "worker1").outcome == "complete"


@pytest.mark.parametrize(
    "text",
    [
        "a" * 500_000,
        "a" * 500_000 + ":1: x",
        "a:1: " * 100_000,
        " " * 500_000,
        ("src/nn.cpp:1: " + "x" * 40 + " Assertion `") * 8_000,
        "Assertion `a" * 40_000,
        "  what():" * 50_000,
        "🚨 Network error: " * 25_000,
        "\n" * 500_000,
        "Cannot connect to " * 25_000,
    ],
    ids=lambda text: text[:12],
)
def test_half_a_megabyte_of_whatever_is_looked_through_at_once(text: str) -> None:
    begin = time.process_time()
    dllama_failures.failure_cause(text, text)
    dllama_failures.stage(text)
    assert time.process_time() - begin < 2


def test_an_assertion_is_told_with_its_place_wherever_it_stands() -> None:
    told = "src/nn/nn-core.cpp:213: void f(): Assertion `n % 8 == 0' failed."
    for before in ("", "dllama: ", "noise\n", "noise\ndllama: ", "a" * 100_000 + "\n"):
        cause = dllama_failures.failure_cause("", before + told)
        assert cause == "it stopped at the assertion `n % 8 == 0` (src/nn/nn-core.cpp:213)"
    bare = dllama_failures.failure_cause("", "Assertion `n % 8 == 0' failed.")
    assert bare == "it stopped at the assertion `n % 8 == 0`"
