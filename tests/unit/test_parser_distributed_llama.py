"""Logs of every version of distributed-llama are read to the last figure."""

import json
import re
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from collect.attempt import Role
from collect.parsers.distributed_llama import ParsedLog, measurement, parse_log, parse_runs
from collect.parsers.dllama_json import json_chunks
from core.errors import HerdError
from tests.doubles import engine_logs
from tests.doubles.engine_logs import Step
from tests.doubles.recorded_logs import DATA, parsed


def figures(log: ParsedLog, index: int) -> tuple[object, ...]:
    record = log.records[index]
    return (
        record.phase,
        record.tokens,
        record.compute_ms,
        record.sync_ms,
        record.total_ms,
        record.sent_kib,
        record.received_kib,
        record.text,
    )


@pytest.mark.parametrize(
    ("case", "era", "lines", "first", "last", "tokens", "total_ms"),
    [
        (
            "old_v0.3.1_n2", "A", 8,
            ("prediction", 1, 4, 0, 4, 362, 1, ""),
            ("prediction", 1, 0, 1, 1, 2, 1, " tok00667"),
            8, 10,
        ),
        (
            "old_v0.4.0_n2", "B", 8,
            ("prediction", 1, 0, 13, 13, 362, 1, ""),
            ("prediction", 1, 1, 0, 1, 2, 1, " tok00172"),
            8, 18,
        ),
        (
            "old_v0.9.2_n2", "C", 8,
            ("prediction", 1, 0, 63, 63, 361, 1, ""),
            ("prediction", 1, 0, 85, 85, 1, 1, "<unk>"),
            8, 583,
        ),
        (
            "old_v0.12.0_n2", "D", 6,
            ("evaluation", 3, None, None, 15, 6, 9, None),
            ("prediction", 1, None, None, 6, 2, 3, "{"),
            5, 7.0,
        ),
        (
            "old_v0.12.8_n2", "E", 6,
            ("evaluation", 3, 2, 189, 191, 6, 9, None),
            ("prediction", 1, 0, 91, 91, 2, 3, "~"),
            5, 387.1,
        ),
        (
            "inf_small_q40_n2", "E", 22,
            ("evaluation", 19, 37, 1689, 1726, 399, 475, None),
            ("prediction", 1, 3, 144, 147, 21, 25, "et"),
            21, 1689.45,
        ),
    ],
)  # fmt: skip
def test_every_era_is_read_to_the_last_figure(
    case: str,
    era: str,
    lines: int,
    first: tuple[object, ...],
    last: tuple[object, ...],
    tokens: int,
    total_ms: float,
) -> None:
    log = parsed(case)
    assert (log.era, log.outcome, log.error, log.flags) == (era, "complete", None, ())
    assert len(log.records) == lines
    assert figures(log, 0) == first
    assert figures(log, -1) == last
    assert log.decode is not None
    assert log.decode.phase is not None
    assert log.decode.phase.tokens == tokens
    assert log.decode.phase.total_ms == pytest.approx(total_ms, abs=1e-4)


def test_the_json_of_a_log_has_what_was_printed_and_null_where_nothing_was() -> None:
    told = parsed("old_v0.12.0_n2").to_json()
    assert told["era"] == "D"
    assert told["role"] == "root"
    assert told["outcome"] == "complete"
    assert told["error"] is None
    assert told["model"]["Dim"] == 256
    assert told["model"]["NormEpsilon"] == 0.00001
    assert told["model"]["RopeType"] == "Llama"
    assert told["summary"] == {
        "evaluation": {"tokens": 3, "ms_per_token": 5.0, "tokens_per_s": 200.0},
        "prediction": {"tokens": 5, "ms_per_token": 1.4, "tokens_per_s": 714.29},
    }
    assert told["records"][0] == {
        "phase": "evaluation",
        "tokens": 3,
        "compute_ms": None,
        "sync_ms": None,
        "total_ms": 15,
        "sent_kib": 6,
        "received_kib": 9,
        "text": None,
    }
    assert parsed("kill_worker_mid").to_json()["summary"] is None


def test_the_first_line_of_old_eras_does_not_count_as_traffic_because_it_holds_the_weights() -> (
    None
):
    measured = measurement((DATA / "old_v0.3.1_n2" / "root.out").read_bytes(), b"")
    assert measured.decode is not None
    assert measured.decode.sent_kib == 8 * 2
    assert measured.tokens[0].sent_kib == 362


@pytest.mark.parametrize(
    ("case", "perplexity"),
    [("perp_small_n1", 7115.510742), ("perp_small_n2", 7154.568848), ("perp_small_n4", 7195.61084)],
)
def test_a_perplexity_is_one_sample(case: str, perplexity: float) -> None:
    measured = measurement((DATA / case / "root.out").read_bytes(), b"")
    assert measured.samples == 1
    assert measured.perplexity == perplexity
    assert measured.decode is None
    log = parsed(case)
    assert log.perplexity is not None
    assert len(log.perplexity.probabilities) == log.perplexity.tokens - 1 == 3


def test_a_probability_that_is_torn_leaves_the_perplexity_without_its_list() -> None:
    whole = (DATA / "perp_small_n1" / "root.out").read_bytes()
    for damaged in (whole.replace(b"prob=0.", b"prob=0..", 1), whole.replace(b"    2 / 3", b"", 1)):
        log = parse_log(BytesIO(damaged))
        assert log.perplexity is not None
        assert log.perplexity.perplexity == 7115.510742
        assert log.perplexity.probabilities == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("7154.568848", "0.000000", "the perplexity 0 is none"),
        ("7154.568848", "-1.000000", "the perplexity -1 is none"),
        ("7154.568848", "-nan", "the perplexity nan is none"),
        ("7154.568848", "inf", "the perplexity nan is none"),
        ("7154.568848", "1e300", "is none"),
        ("7154.568848", "7154.668848", "is not that of its avgLogProb -8.875506"),
        ("-8.875506", "-8.875516", "is not that of its avgLogProb -8.875516"),
        ("12.804649", "12.814649", "the bitPerToken 12.814649 is not that of the avgLogProb"),
        ("prob=0.000133", "prob=0.100133", "is not that of its tokens"),
    ],
)
def test_a_perplexity_that_contradicts_itself_is_no_result(old: str, new: str, words: str) -> None:
    whole = (DATA / "perp_small_n2" / "root.out").read_bytes()
    changed = whole.replace(old.encode(), new.encode(), 1)
    assert changed != whole
    log = parse_log(BytesIO(changed))
    assert (log.outcome, log.perplexity) == ("failed", None)
    assert log.error is not None
    assert words in log.error
    with pytest.raises(HerdError, match=re.escape(words)):
        measurement(changed, b"")


def test_any_of_its_first_six_digits_changes_a_perplexity_aloud() -> None:
    whole = (DATA / "perp_small_n1" / "root.out").read_bytes()
    begin = whole.index(b"7115.510742")
    for place in range(7):
        at = begin + place
        if whole[at : at + 1] == b".":
            continue
        digit = b"%d" % ((int(whole[at : at + 1]) + 1) % 10)
        with pytest.raises(HerdError, match="perplexity"):
            measurement(whole[:at] + digit + whole[at + 1 :], b"")


@pytest.mark.parametrize("figure", ["-14.50", "nan", "-inf", "1e99", "9" * 400, "1e999"])
def test_a_time_that_is_none_gets_into_no_figure(figure: str) -> None:
    whole = (DATA / "inf_small_q40_n2" / "root.out").read_bytes()
    line = re.findall(rb"tokens/s: \S+ \(\S+ ms/tok\)", whole)[-1]
    for changed in (
        whole.replace(line, f"tokens/s: {figure} ({figure} ms/tok)".encode()),
        re.sub(rb"Pred +\d+ ms", f"Pred{figure:>5} ms".encode(), whole, count=1),
        re.sub(rb"Sent +\d+ kB", f"Sent{figure:>6} kB".encode(), whole, count=1),
        whole.replace(b"nTokens: 21", f"nTokens: {figure}".encode()),
    ):
        log = parse_log(BytesIO(changed))
        assert log.flags or log.outcome != "complete"
        json.dumps(log.to_json(), allow_nan=False)
        for record in log.records:
            assert 0 <= (record.total_ms or 0) < 1e10
            assert 0 <= (record.sent_kib or 0) < 1e10
        if log.decode and log.decode.phase:
            assert 0 < log.decode.phase.total_ms < 1e10


def test_the_workers_of_v0_11_tell_their_times() -> None:
    out = "💡 sliceIndex: 1\n⏩ Received 180 kB for block 0 (inf kB/s)\n🔶 I    3 ms T   78 ms\n"
    log = parse_log(BytesIO(out.encode()), "worker")
    assert log.era == "C"
    (record,) = log.records
    assert (record.compute_ms, record.sync_ms, record.total_ms, record.sent_kib) == (
        3,
        78,
        81,
        None,
    )


def test_an_empty_prompt_has_no_evaluation_and_still_counts() -> None:
    measured = measurement((DATA / "empty_prompt" / "root.out").read_bytes(), b"")
    assert measured.samples == 30
    assert measured.prefill is None
    assert measured.decode is not None
    # 2287.81 tokens/s is more precise than the 0.44 ms/tok beside it.
    assert measured.decode.ms_per_token == pytest.approx(1000 / 2287.81)


def test_a_prompt_without_a_single_token_is_no_evaluation() -> None:
    out = engine_logs.dllama_root([], [Step(2000, 0)] * 3, prompt=b"")
    measured = measurement(out.replace(b"nTokens: 0", b"nTokens: -1"), b"")
    assert (measured.samples, measured.prefill) == (3, None)


def test_the_text_is_what_was_generated_with_its_newlines() -> None:
    pieces = [b" one", b"\n", b"two\nthree", b"", b" | (4 tokens)", b"\xff\xfe", b"\r"]
    out = engine_logs.dllama_root(
        [Step(1000, 0, tokens=3)], [Step(2000, 0, text=piece) for piece in pieces]
    )
    measured = measurement(out, b"")
    assert measured.text == " one\ntwo\nthree | (4 tokens)\ufffd\ufffd\r"
    assert measured.samples == len(measured.tokens) - 1 == 7
    assert measured.flags == ()


def test_widths_may_overflow() -> None:
    out = engine_logs.dllama_root(
        [Step(6000, 13_213_000, 2793 * 1024, 2527 * 1024, 19)],
        [Step(123_456_000, 7_654_321_000, 12_345_678 * 1024, 1024, text=b"x")],
    )
    assert b"Eval    6 ms Sync13213 ms | Sent  2793 kB Recv  2527 kB | (19 tokens)" in out
    first, second = measurement(out, b"").tokens
    assert (first.sync_ms, second.sync_ms, second.sent_kib) == (13213, 7654321, 12345678)


def test_lines_and_summary_that_disagree_are_flagged() -> None:
    whole = (DATA / "inf_small_q40_n1" / "root.out").read_bytes()
    changed = whole.replace(b"84.24 (11.87 ms/tok)", b"42.12 (23.74 ms/tok)")
    assert any("the summary says" in flag for flag in measurement(changed, b"").flags)
    lines = whole.splitlines(keepends=True)
    lost = b"".join(line for line in lines if b"tok00365" not in line)
    assert any("the summary counts 21" in flag for flag in measurement(lost, b"").flags)
    assert measurement(whole, b"").flags == ()


def test_the_overflow_of_32_bit_microseconds_is_undone() -> None:
    step = Step(900_000_400, 100_000_300, 21504, 25600)
    out = engine_logs.dllama_root([Step(1_000_000, 0, tokens=3)], [step] * 9)
    true_us = 9 * (step.compute_us + step.sync_us)
    shown_ms = (true_us % 2**32) / 9000
    wrapped = out.replace(
        f"{9e6 / true_us:3.2f} ({true_us / 9000:3.2f} ms/tok)".encode(),
        f"{1000 / shown_ms:3.2f} ({shown_ms:3.2f} ms/tok)".encode(),
    )
    assert wrapped != out
    measured = measurement(wrapped, b"")
    assert measured.decode is not None
    assert measured.decode.total_ms == pytest.approx(true_us / 1000, abs=0.05)
    assert any("overflowed" in flag for flag in measured.flags)


def test_computing_and_waiting_sum_up_to_the_precise_total() -> None:
    for case in ("inf_small_q40_n1", "inf_small_q40_n2", "inf_small_q40_n4_noturbo", "heads12_n3"):
        phase = measurement((DATA / case / "root.out").read_bytes(), b"").decode
        assert phase is not None
        assert phase.compute_ms is not None
        assert phase.sync_ms is not None
        assert phase.compute_ms + phase.sync_ms == pytest.approx(phase.total_ms)


def test_a_root_without_workers_waits_for_nobody() -> None:
    phase = measurement((DATA / "inf_small_q40_n1" / "root.out").read_bytes(), b"").decode
    assert phase is not None
    assert phase.sync_ms == 0


@pytest.mark.parametrize(
    ("case", "low", "high"),
    [
        ("inf_small_q40_n2_noturbo", 76, 81),
        ("inf_small_q40_n2", 89, 90),
        ("inf_small_q40_n4_noturbo", 83, 91),
        ("heads12_n3", 92, 100),
        ("empty_prompt", 0, 31),
    ],
)
def test_the_share_of_waiting_is_bounded_by_what_the_lines_cut_off(
    case: str, low: int, high: int
) -> None:
    phase = measurement((DATA / case / "root.out").read_bytes(), b"").decode
    assert phase is not None
    assert phase.sync_share_low is not None
    assert phase.sync_share_high is not None
    assert phase.sync_ms is not None
    assert (round(100 * phase.sync_share_low), round(100 * phase.sync_share_high)) == (low, high)
    assert phase.sync_share_low <= phase.sync_ms / phase.total_ms <= phase.sync_share_high


@pytest.mark.parametrize("case", ["old_v0.12.0_n2", "old_v0.9.2_n2", "old_v0.3.1_n2"])
def test_eras_that_do_not_cut_off_parts_of_lines_give_no_bounds(case: str) -> None:
    phase = measurement((DATA / case / "root.out").read_bytes(), b"").decode
    assert phase is not None
    assert (phase.sync_share_low, phase.sync_share_high) == (None, None)


@given(
    st.lists(st.tuples(st.integers(0, 9_999), st.integers(0, 9_999)), min_size=1, max_size=40),
    st.integers(1, 2),
)
def test_the_true_share_of_waiting_lies_between_its_bounds(
    steps: list[tuple[int, int]], nodes: int
) -> None:
    assume(sum(compute + sync for compute, sync in steps))
    traffic = 4096 * (nodes - 1)
    out = engine_logs.dllama_root(
        [Step(1000, 0, tokens=3)],
        [Step(compute, sync, traffic, traffic) for compute, sync in steps],
        nodes=nodes,
    )
    phase = measurement(out, b"").decode
    assert phase is not None
    assert phase.sync_low_ms is not None
    assert phase.sync_high_ms is not None
    assert phase.sync_ms is not None
    rounding_ms = 0.006 * phase.total_ms
    true_ms = sum(sync for _, sync in steps) / 1000
    assert phase.sync_low_ms - rounding_ms <= true_ms <= phase.sync_high_ms + rounding_ms
    assert 0 <= phase.sync_low_ms <= phase.sync_ms <= phase.sync_high_ms <= phase.total_ms


def test_memory_is_told_in_mib_whatever_the_unit_of_the_version() -> None:
    assert parsed("inf_small_q40_n1").required_memory_mib == 82
    assert parsed("old_v0.12.0_n2").required_memory_mib == 2544 / 1024


def test_a_log_with_windows_line_ends_is_read_alike() -> None:
    whole = (DATA / "inf_small_q40_n2" / "root.out").read_bytes()
    unix, windows = measurement(whole, b""), measurement(whole.replace(b"\n", b"\r\n"), b"")
    assert windows.decode == unix.decode
    assert windows.prefill == unix.prefill


@pytest.mark.parametrize(
    ("case", "address"),
    [("inf_small_q40_n2", "127.0.0.1:19001"), ("inf_small_q40_n1", None)],
)
def test_the_double_prints_as_the_real_one(case: str, address: str | None) -> None:
    recorded = (DATA / case / "root.out").read_bytes()
    steps = [
        Step(
            int(1000 * (record.compute_ms or 0)),
            int(1000 * (record.sync_ms or 0)),
            int(1024 * (record.sent_kib or 0)),
            int(1024 * (record.received_kib or 0)),
            record.tokens,
            (record.text or "").encode(),
        )
        for record in parsed(case).records
    ]
    rebuilt = engine_logs.dllama_root(
        steps[:1],
        steps[1:],
        nodes=2 if address else 1,
        memory_mb=49 if address else 82,
        worker_addresses=[address] if address else [],
        prompt=b"Hello world this is a test",
    )
    until = b"\nEvaluation\n"
    # The recorded text holds a byte that is not UTF-8; the rebuilt one its replacement.
    readable = recorded.decode(errors="replace").encode()
    assert rebuilt.partition(until)[0] == readable.partition(until)[0]
    ending = [line.strip().split(b":")[0] for line in rebuilt.partition(until)[2].splitlines()]
    assert ending == [
        line.strip().split(b":")[0] for line in recorded.partition(until)[2].splitlines()
    ]


PRINTED = sorted(path for path in DATA.glob("*/*.out") if path.stat().st_size)


@pytest.mark.parametrize("path", PRINTED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_json_in_pieces_is_the_same_as_in_one(path: Path) -> None:
    role: Role = "root" if path.stem == "root" else "worker"
    with path.open("rb") as stream:
        runs = [run.to_json() for run in parse_runs(stream, role)]
    told = json.loads("".join(json_chunks(path, role)))
    if runs[1:]:
        assert told.pop("runs") == runs
        assert told.pop("flags") == [f"the file holds {len(runs)} runs: this is the last"]
        told["flags"] = []
    assert told == runs[-1]


def test_a_log_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="No such file or directory"):
        list(json_chunks(tmp_path / "nothing.log"))
