"""No log, however mutilated, breaks a parser or makes it invent a record."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from collect.parsers import distributed_llama, dllama_failures, llama_cpp
from collect.parsers.distributed_llama import ParsedLog, parse_log
from core.errors import HerdError
from tests.doubles.mutated_logs import LOGS, invented, mutated_logs

DATA = Path(__file__).parents[1] / "data"
DLLAMA_LOGS = [path.read_bytes() for path in sorted(DATA.glob("distributed-llama/*/*.out"))]
LLAMA_LOGS = [
    path.read_bytes() for path in sorted((DATA / "llama-cpp").iterdir()) if path.is_file()
]
RECORD_MARKS = ("🔶".encode(), "🔷".encode())
TOKENS = [
    *("🔶 ", "🔷️ ", "🔶 Pred    1 ms Sync  814 ms | Sent   147 kB Recv   133 kB | x\n"),
    *("Eval", "Pred", " ms ", "\n", "\n\n", "|", "Evaluation\n", "🚨 Critical error: x\n"),
    *("9" * 30, "-1", "nan", "inf", "-nan", "1e999", "99999 tokens", "Generated tokens:    3\n"),
    *("\r", "\0", "Results\n"),
    *("\ufeff", "Evaluating 4 tokens...\n", "💿 Weights loaded\n", "⏩ Loaded 3 kB\n"),
]  # fmt: skip
PIECES = st.one_of(st.binary(max_size=40), st.sampled_from([token.encode() for token in TOKENS]))


@st.composite
def mutilated(draw: st.DrawFn, logs: list[bytes]) -> bytes:
    """A real log with parts cut out, put in, doubled or exchanged."""
    log = bytearray(draw(st.sampled_from(logs)))
    for _ in range(draw(st.integers(0, 6))):
        begin = draw(st.integers(0, len(log)))
        size = draw(st.integers(0, 120))
        how = draw(st.sampled_from(["cut", "put", "double", "replace", "end"]))
        if how == "cut":
            del log[begin : begin + size]
        elif how == "put":
            log[begin:begin] = draw(PIECES)
        elif how == "double":
            log[begin:begin] = log[begin : begin + size]
        elif how == "replace":
            log[begin : begin + size] = draw(PIECES)
        else:
            del log[begin:]
    return bytes(log)


def marked_lines(log: bytes) -> int:
    return sum(line.startswith(RECORD_MARKS) for line in log.split(b"\n"))


def check(log: bytes, read: ParsedLog) -> None:
    assert len(read.records) <= marked_lines(log)
    assert [record.index for record in read.records] == list(range(len(read.records)))
    if read.decode is not None:
        predicted = sum(record.phase == "prediction" for record in read.records)
        assert predicted <= read.decode.summary.tokens
    for record in read.records:
        for value in (record.compute_ms, record.sync_ms, record.total_ms, record.sent_kib):
            assert value is None or 0 <= value < 10**19
    assert (read.outcome == "failed") == (read.error is not None)


@settings(max_examples=400, deadline=None)
@given(mutilated(DLLAMA_LOGS), st.sampled_from(["root", "worker"]))
def test_a_mutilated_log_of_distributed_llama_breaks_nothing(log: bytes, role: str) -> None:
    read = parse_log(BytesIO(log), "root" if role == "root" else "worker", log[:200])
    check(log, read)
    read.to_json()
    dllama_failures.stage(log.decode(errors="replace"))


@settings(max_examples=200, deadline=None)
@given(mutilated(DLLAMA_LOGS))
def test_a_measurement_is_whole_or_refused_with_a_sentence(log: bytes) -> None:
    try:
        measured = distributed_llama.measurement(log, b"")
    except HerdError as error:
        assert str(error).endswith(".")  # noqa: PT017 - only where it is refused
        return
    assert measured.samples >= 1
    for phase in (measured.prefill, measured.decode):
        assert phase is None or (phase.tokens >= 1 and phase.total_ms > 0)


@settings(max_examples=300, deadline=None)
@given(mutilated(LLAMA_LOGS), mutilated(LLAMA_LOGS))
def test_mutilated_output_of_llama_cpp_is_measured_or_refused(out: bytes, err: bytes) -> None:
    for program in ("llama-bench", "llama-perplexity", "llama-completion"):
        try:
            measured = llama_cpp.measurement((program,), out, err)
        except HerdError:
            continue
        assert measured.samples >= 1
        for phase in (measured.prefill, measured.decode):
            assert phase is None or (phase.tokens >= 1 and phase.total_ms > 0)


def test_mutated_lines_of_real_logs_invent_no_record() -> None:
    """20 000 lines; `python tests/benchmarks/parser_fuzz.py` reads a million."""
    for log in mutated_logs(20_000, seed=2):
        root, worker = parse_log(BytesIO(log)), parse_log(BytesIO(log), "worker", log[:300])
        check(log, root)
        assert invented(log, root) == []
        assert invented(log, worker) == []


def test_the_check_itself_sees_an_invented_record() -> None:
    log = next(log for log in LOGS if log.count("🔶 Pred".encode()) > 3)
    read = parse_log(BytesIO(log))
    assert invented(log, read) == []
    other = read.records[3]._replace(sync_ms=4242)
    assert invented(log, replace(read, records=(other,))) == [other]


def test_numbers_and_marks_are_taken_only_as_the_engine_prints_them() -> None:
    """Found by reading a million mutated lines."""
    log = next(log for log in LOGS if "🔷️ Eval".encode() in log)
    begin = log.index("🔷️ Eval".encode())
    line, rest = log[begin:].split(b"\n", 1)
    assert parse_log(BytesIO(log)).records[0].phase == "evaluation"
    plain = line.replace("\ufe0f".encode(), b"")
    assert parse_log(BytesIO(log[:begin] + plain + b"\n" + rest)).records[0].phase == "evaluation"
    for wrong in (
        line.replace(b"\xef\xb8\x8f", b"\xef\xb8"),
        line.replace(b"Eval ", b"Eval"),
        line.replace(b"Eval ", b"Eval  "),
        line.replace(b"| (", b"| (0"),
    ):
        assert wrong != line
        read = parse_log(BytesIO(log[:begin] + wrong + b"\n" + rest))
        assert all(record.phase == "prediction" for record in read.records)
