"""An attempt's logs become a measurement, or the best sentence about why there is none."""

from pathlib import Path

import pytest

from collect.attempt import ProcessRecord, Role, load_attempt
from collect.parsers.of_attempt import failure_of_attempt, parse_attempt
from collect.run import ATTEMPTS_FOLDER
from collect.workloads import Perplexity
from core.errors import HerdError
from tests.doubles.run_folder import make_run

DATA = Path(__file__).parents[1] / "data"
DLLAMA = ("/usr/bin/stdbuf", "-oL", "/opt/llama-herd/engines/distributed-llama/bin/dllama")


def process(
    node: str,
    role: Role,
    name: str,
    *,
    exit_code: int | None = None,
    signal: int | None = None,
    result: str = "exit-code",
) -> ProcessRecord:
    folder, stem = name.split("/")
    has_err = (DATA / "distributed-llama" / folder / f"{stem}.err").exists()
    return ProcessRecord(
        node=node,
        role=role,
        unit=f"herd-x-{role}",
        argv=(*DLLAMA, role),
        exit_code=exit_code,
        signal=signal,
        result=result,
        out_file=f"{stem}.out",
        err_file=f"{stem}.err" if has_err else None,
    )


def cause(folder: str, *processes: ProcessRecord) -> str | None:
    return failure_of_attempt(DATA / "distributed-llama" / folder, processes, "distributed-llama")


def test_both_engines_and_workloads_are_parsed(tmp_path: Path) -> None:
    texts = Perplexity(text="experiments/texts/alice.txt", characters=100, context_tokens=32)
    for name, workload in (("benchmark", None), ("perplexity", texts)):
        run = make_run(tmp_path, name=name, workload=workload, repeats=1, failed=(), retried=())
        for folder in (run / ATTEMPTS_FOLDER).iterdir():
            record = load_attempt(folder)
            measured = parse_attempt(folder, record)
            assert measured.samples == record.expected_samples
            assert (measured.perplexity is None) == (workload is None)


def test_an_attempt_without_a_root_or_of_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, nodes=(1,), repeats=1, failed=(), retried=())
    folder = next((run / ATTEMPTS_FOLDER).iterdir())
    record = load_attempt(folder)
    with pytest.raises(HerdError, match="no log of a root"):
        parse_attempt(folder, record.model_copy(update={"processes": ()}))
    with pytest.raises(HerdError, match="abacus, which has no parser"):
        parse_attempt(folder, record.model_copy(update={"params": {"engine": "abacus"}}))


def test_a_worker_killed_by_the_kernel_for_memory_is_the_cause_whatever_the_root_said() -> None:
    told = cause(
        "kill_worker_mid",
        process("pi1", "root", "kill_worker_mid/root", exit_code=1),
        process("pi2", "worker", "kill_worker_mid/w1"),
        process("pi3", "worker", "kill_worker_mid/w2", signal=9, result="oom-kill"),
    )
    assert told == (
        "the worker on pi3 was killed because memory ran out (oom-kill); the root on pi1 ended "
        "with status 1 and said: Connection reset by peer (a node went away)"
    )


def test_a_worker_that_was_killed_is_named_before_the_root_that_missed_it() -> None:
    told = cause(
        "kill_worker_mid",
        process("pi1", "root", "kill_worker_mid/root", exit_code=1),
        process("pi3", "worker", "kill_worker_mid/w2", signal=9, result="signal"),
    )
    assert told is not None
    assert told.startswith("the worker on pi3 ended by signal 9 (SIGKILL); the root on pi1")


def test_a_worker_without_memory_is_named_before_the_root_that_died_of_it() -> None:
    told = cause(
        "oom_worker",
        process("pi1", "root", "oom_worker/root", signal=13, result="signal"),
        process("pi2", "worker", "oom_worker/w1", exit_code=1),
    )
    assert told is not None
    assert told.startswith(
        "the worker on pi2 ended with status 1 and said: posix_memalign failed (not enough memory)"
    )
    assert "the root on pi1 ended by signal 13 (SIGPIPE) while it was loading" in told


def test_a_worker_that_only_lost_its_root_is_not_the_cause() -> None:
    told = cause(
        "root_killed_load",
        process("pi1", "root", "root_killed_load/root", signal=9, result="signal"),
        process("pi2", "worker", "root_killed_load/w1", exit_code=1),
    )
    assert told is not None
    assert told == "the root on pi1 ended by signal 9 (SIGKILL) while it was loading the weights"


def test_a_root_that_stops_at_an_assertion_tells_what_it_means() -> None:
    told = cause(
        "non_pow2_n3", process("pi1", "root", "non_pow2_n3/root", signal=6, result="core-dump")
    )
    assert told == (
        "the root on pi1 ended by signal 6 (SIGABRT) and said: it stopped at the assertion "
        "`kvDim % nNodes == 0` (src/nn/nn-core.cpp:213) "
        "(the model cannot be divided by that number of nodes)"
    )


def test_a_root_that_hangs_while_connecting_names_the_address(tmp_path: Path) -> None:
    (tmp_path / "pi1.root.out").write_text(
        "📀 RequiredMemory: 54 MB\n⭕ Socket[0]: connecting to 10.77.0.12:9990 worker\n",
        encoding="utf-8",
    )
    stuck = ProcessRecord(
        node="pi1", role="root", unit="u", argv=DLLAMA, result="timeout", out_file="pi1.root.out"
    )
    waiting = process("pi2", "worker", "port_in_use/w1", signal=15, result="timeout")
    told = failure_of_attempt(tmp_path, [stuck, waiting], "distributed-llama")
    assert told is not None
    assert told.startswith(
        "the root on pi1 was stopped at its deadline while it was connecting to 10.77.0.12:9990: "
    )


def test_being_stopped_by_the_runner_is_no_failure() -> None:
    assert (
        cause("inf_small_q40_n2", process("pi2", "worker", "inf_small_q40_n2/worker1", signal=15))
        is None
    )


def test_an_earlier_root_that_a_kept_worker_lost_is_not_told_again(tmp_path: Path) -> None:
    earlier = (DATA / "distributed-llama" / "kill_worker_mid" / "w1.out").read_bytes()
    served = (DATA / "distributed-llama" / "inf_small_q40_n2" / "worker1.out").read_bytes()
    (tmp_path / "w.out").write_bytes(earlier + served)
    kept = ProcessRecord(
        node="pi2", role="worker", unit="u", argv=DLLAMA, out_file="w.out", kept=True
    )
    assert failure_of_attempt(tmp_path, [kept], "distributed-llama") is None


def test_llama_cpp_s_port_that_is_taken_is_told_though_the_worker_ends_with_status_0(
    tmp_path: Path,
) -> None:
    (tmp_path / "w.out").write_bytes((DATA / "llama-cpp" / "busy.out").read_bytes())
    (tmp_path / "r.err").write_bytes((DATA / "llama-cpp" / "absent-llama-bench.out").read_bytes())
    worker = ProcessRecord(
        node="pi2",
        role="worker",
        unit="u",
        argv=("ggml-rpc-server",),
        exit_code=0,
        out_file="w.out",
    )
    root = ProcessRecord(
        node="pi1", role="root", unit="u", argv=("llama-bench",), exit_code=134, err_file="r.err"
    )
    assert failure_of_attempt(tmp_path, [root, worker], "llama.cpp") == (
        "the worker on pi2 said: it could not listen: the port is taken, or the address is not of "
        "this node; the root on pi1 ended with status 134 and said: it could not connect to the "
        "RPC worker at 127.0.0.1:59999"
    )


def test_logs_that_are_missing_or_hold_anything_tell_nothing_and_break_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "r.out").write_bytes(bytes(range(256)) * 4096)
    root = ProcessRecord(
        node="pi1", role="root", unit="u", argv=DLLAMA, exit_code=3, out_file="r.out", err_file="no"
    )
    told = failure_of_attempt(tmp_path, [root], "distributed-llama")
    assert told is not None
    assert told.startswith("the root on pi1 ended with status 3")
