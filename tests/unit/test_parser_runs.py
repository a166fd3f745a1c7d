"""Several runs in one log are several; a text that imitates a run is none."""

import json
from io import BytesIO
from itertools import permutations
from pathlib import Path

import pytest

from collect.parsers import dllama_runs
from collect.parsers.distributed_llama import ParsedLog, measurement, parse_runs
from collect.parsers.dllama_json import json_chunks
from core.errors import HerdError
from tests.doubles import engine_logs
from tests.doubles.engine_logs import Step
from tests.doubles.recorded_logs import DATA, parsed

WHOLE = (
    *("inf_small_q40_n1", "inf_small_q40_n2", "inf_small_q40_n4_noturbo", "heads12_n3"),
    *("empty_prompt", "perp_small_n1", "perp_small_n2"),
    *("old_v0.3.1_n2", "old_v0.4.0_n2", "old_v0.9.2_n2", "old_v0.12.0_n2", "old_v0.12.8_n2"),
)
BROKEN = ("q40_f32buf", "kill_worker_mid", "oom_worker", "root_killed_load", "api_n2")
STEPS = [Step(3000 + 100 * n, 5000 + 70 * n, 21504, 25600) for n in range(5)]
EVALUATION = [Step(1000, 0, tokens=3)]


def root_out(case: str) -> bytes:
    return (DATA / case / "root.out").read_bytes()


def alone(case: str) -> ParsedLog:
    """The run as it is read when it is alone, and without standard error."""
    (run,) = parse_runs(BytesIO(root_out(case)))
    return run


def same(found: tuple[ParsedLog, ...], cases: tuple[str, ...]) -> None:
    assert len(found) == len(cases)
    for run, case in zip(found, cases, strict=True):
        expected = alone(case)
        assert run.to_json()["records"][:-1] == expected.to_json()["records"][:-1]
        assert len(run.records) == len(expected.records)
        for name in ("era", "decode", "prefill", "model", "perplexity", "outcome", "error"):
            assert getattr(run, name) == getattr(expected, name), (case, name)
        assert run.required_memory_mib == expected.required_memory_mib


@pytest.mark.parametrize("first", [*WHOLE, *BROKEN])
@pytest.mark.parametrize("second", [*WHOLE, *BROKEN])
def test_any_two_runs_in_one_log_are_both_read(first: str, second: str) -> None:
    if second == "q40_f32buf" and first in BROKEN:
        pytest.skip("this one says but its last words, which may be those of the one before")
    same(parse_runs(BytesIO(root_out(first) + root_out(second))), (first, second))


@pytest.mark.parametrize("between", ["", "\n", "Test 2:\n\n", "pi@pi1:~$ ./dllama inference\n"])
def test_many_runs_are_read_whatever_stands_between_them(between: str) -> None:
    cases = (*WHOLE, *BROKEN, *WHOLE[::-1])
    log = between.encode().join(root_out(case) for case in cases)
    same(parse_runs(BytesIO(log)), cases)


def test_three_runs_with_the_same_traffic_are_three() -> None:
    assert len(parse_runs(BytesIO(root_out("inf_small_q40_n2") * 3))) == 3
    assert len(parse_runs(BytesIO(root_out("old_v0.9.2_n2") * 40))) == 40


def test_of_several_runs_the_last_is_on_top_and_one_is_told_once(tmp_path: Path) -> None:
    logs = [root_out(case) for case in WHOLE[:3]]
    path = tmp_path / "some.log"
    path.write_bytes(b"".join(logs))
    told = json.loads("".join(json_chunks(path)))
    runs = [run.to_json() for run in parse_runs(BytesIO(path.read_bytes()))]
    flags = ["the file holds 3 runs: this is the last"]
    assert told == {**runs[-1], "flags": flags, "runs": runs}
    path.write_bytes(logs[0])
    assert json.loads("".join(json_chunks(path))) == alone(WHOLE[0]).to_json()


def test_more_runs_than_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    log = root_out("inf_small_q40_n2")
    monkeypatch.setattr(dllama_runs, "MOST_PIECES", 10)
    assert len(parse_runs(BytesIO(log * 10))) == 10
    with pytest.raises(HerdError, match="more than 10 places where a run may begin"):
        parse_runs(BytesIO(log * 11))


def test_old_runs_pasted_without_their_heads_are_told_by_their_totals() -> None:
    first = engine_logs.dllama_era_a([(400 + n, 300 + n, 90) for n in range(16)])
    second = engine_logs.dllama_era_a([(300 + n, 200 + n, 90) for n in range(16)])
    blocks = [b"".join(log.splitlines(keepends=True)[4:]) for log in (first, second)]
    for between in (b"", b"\nTest 2:\n\n", "\nTest 2:\n⏩ Loaded 6323781632 bytes\n".encode()):
        runs = parse_runs(BytesIO(between.join(blocks)))
        assert [len(run.records) for run in runs] == [16, 16]
        assert [run.records[0].total_ms for run in runs] == [400, 300]
        assert [run.flags for run in runs] == [(), ()]


def test_a_run_torn_anywhere_hides_no_other() -> None:
    torn, whole = root_out("inf_small_q40_n2"), root_out("inf_small_q40_n4_noturbo")
    for size in range(0, len(torn), 37):
        found = parse_runs(BytesIO(torn[:size].rpartition(b"\n")[0] + b"\n" + whole))
        assert found[-1] == alone("inf_small_q40_n4_noturbo"), size
        assert len(found) <= 2


def test_a_line_that_is_lost_is_flagged_in_its_own_run_only() -> None:
    lost = root_out("inf_small_q40_n2").replace(b"tok01434", b"").split(b"\n")
    lost = [line for line in lost if not line.endswith(b"| ")]
    for logs in permutations([b"\n".join(lost), root_out("inf_small_q40_n4_noturbo")]):
        runs = parse_runs(BytesIO(b"".join(logs)))
        assert max(len(run.records) for run in runs) == 22
        assert [bool(run.flags) for run in runs].count(True) <= 1
        assert {run.required_memory_mib for run in runs} == {49.0, 33.0}


OTHER = engine_logs.dllama_root(EVALUATION, [Step(9000, 0)] * 4, nodes=1)
LIKE = engine_logs.dllama_root(EVALUATION, STEPS[:4], nodes=2)
START = engine_logs.dllama_start(2, 49, ["10.77.0.12:9990"])
ABC = engine_logs.dllama_era_a([(400, 300, 90)] * 3)
SHAPE = "💡 Arch: Llama\n💡 Dim: 5\n".encode()
LOADED = "⏩ Loaded 6323781632 bytes\n".encode()


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize(
    "text",
    [OTHER, LIKE, START, ABC, SHAPE, LOADED, OTHER + START, OTHER * 3, START + SHAPE],
    ids=["other", "like", "start", "old", "shape", "loaded", "two", "three", "both"],
)
def test_a_text_that_holds_a_run_is_no_run(text: bytes, place: int) -> None:
    decode = list(STEPS)
    step = decode[place]
    decode[place] = Step(
        step.compute_us, step.sync_us, step.sent_bytes, step.received_bytes, 1, b" a\n" + text
    )
    out = engine_logs.dllama_root(EVALUATION, decode, nodes=2, memory_mb=49)
    (run,) = parse_runs(BytesIO(out))
    assert (run.outcome, run.required_memory_mib) == ("complete", 49)
    assert run.decode is not None
    assert run.decode.summary.tokens == 5
    measured = measurement(out, b"")
    assert measured.samples == 5
    assert measured.decode is not None
    true_ms = sum(step.compute_us + step.sync_us for step in STEPS) / 1000
    assert measured.decode.total_ms == pytest.approx(true_ms, abs=0.1)


@pytest.mark.parametrize("place", range(1, 4))
def test_a_text_that_holds_totals_which_are_right_so_far_is_no_end(place: int) -> None:
    block = engine_logs.dllama_root(EVALUATION, STEPS[:place], nodes=1).partition(b"\nEvaluation")
    decode = list(STEPS)
    step = decode[place - 1]
    text = b" tok\n\nEvaluation" + block[2].rstrip(b"\n")
    decode[place - 1] = Step(
        step.compute_us, step.sync_us, step.sent_bytes, step.received_bytes, 1, text
    )
    (run,) = parse_runs(BytesIO(engine_logs.dllama_root(EVALUATION, decode, nodes=2)))
    assert run.flags == ()
    assert len(run.records) == 6
    assert run.records[place].text == text.decode()


@pytest.mark.parametrize("text", [SHAPE, LOADED, "💡 Dim: 5\n".encode() * 9, SHAPE * 2])
def test_a_prompt_that_holds_lines_of_a_head_is_no_run(text: bytes) -> None:
    out = engine_logs.dllama_root(EVALUATION, STEPS, nodes=2, prompt=b"See:\n" + text)
    (run,) = parse_runs(BytesIO(out))
    assert run.model["Dim"] == 1024
    assert len(run.records) == 6


def test_what_workers_said_before_a_root_is_not_the_roots() -> None:
    worker = (DATA / "inf_small_q40_n2" / "worker1.out").read_bytes()
    (run,) = parse_runs(BytesIO(worker + root_out("inf_small_q40_n2")))
    assert run == alone("inf_small_q40_n2")


def test_an_attempt_with_several_runs_is_no_measurement() -> None:
    with pytest.raises(HerdError, match="holds 2 runs, where an attempt has one"):
        measurement(root_out("inf_small_q40_n2") * 2, b"")


@pytest.mark.parametrize(
    "cases",
    [
        ["inf_small_q40_n2/worker1"],
        ["inf_small_q40_n2/worker1", "kill_worker_mid/w1"],
        ["old_v0.3.1_n2/worker1", "old_v0.9.2_n2/worker1"],
        ["kill_worker_mid/w2", "inf_small_q40_n2/worker1", "kill_worker_mid/w2"],
        ["kill_worker_mid/w1", "inf_small_q40_n2/worker1", "inf_small_q40_n2/worker1"],
    ],
)
def test_a_worker_is_read_root_by_root(cases: list[str]) -> None:
    log = b"".join((DATA / f"{case}.out").read_bytes() for case in cases)
    expected = [parsed(*case.split("/")) for case in cases]
    runs = parse_runs(BytesIO(log), "worker")
    assert [run.outcome for run in runs] == [run.outcome for run in expected]
    assert [run.era for run in runs] == [run.era for run in expected]
    assert [run.required_memory_mib for run in runs] == [
        run.required_memory_mib for run in expected
    ]


def test_a_log_of_a_thousand_runs_is_read_in_a_time_that_grows_with_it() -> None:
    log = root_out("old_v0.9.2_n2")
    assert len(parse_runs(BytesIO(log * 1000))) == 1000
    # A model that prints nothing but totals: no end of them is one.
    block = log[log.index(b"Generated tokens") :]
    line = "🔶 G    5 ms I    3 ms T    1 ms S      2 kB R      1 kB x\n".encode()
    (run,) = parse_runs(BytesIO(log.partition(b"Generated")[0] + (line + block) * 1000))
    assert run.outcome == "complete"
