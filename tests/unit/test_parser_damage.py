"""A log that was torn or lost a line says so, or says what it said before."""

import re
from io import BytesIO

import pytest

from collect.measurement import Measurement
from collect.parsers.distributed_llama import measurement, parse_log, parse_runs
from core.errors import HerdError
from tests.doubles.recorded_logs import DATA

CASES = (
    *("inf_small_q40_n1", "inf_small_q40_n2", "heads12_n3", "empty_prompt", "perp_small_n2"),
    *("old_v0.3.1_n2", "old_v0.4.0_n2", "old_v0.9.2_n2", "old_v0.12.0_n2", "old_v0.12.8_n2"),
)


def read(log: bytes) -> Measurement | None:
    try:
        return measurement(log, b"")
    except HerdError:
        return None


def changes_silently(log: bytes, whole: Measurement) -> bool:
    found = read(log)
    if found is None or found.flags or found == whole:
        return False
    return figures(found) != figures(whole)


def figures(measured: Measurement) -> tuple[object, ...]:
    """All but texts: a line without anything may be a token."""
    lines = tuple(record[:-1] for record in measured.tokens)
    return (
        *(measured.samples, measured.prefill, measured.decode, measured.perplexity),
        lines,
    )


@pytest.mark.parametrize("case", CASES)
def test_a_log_torn_at_any_byte_is_no_measurement_or_the_same(case: str) -> None:
    log = (DATA / case / "root.out").read_bytes()
    whole = measurement(log, b"")
    for size in range(len(log)):
        found = read(log[:size])
        assert found is None or found == whole, size


@pytest.mark.parametrize("case", CASES)
def test_a_line_lost_or_doubled_is_never_silent(case: str) -> None:
    log = (DATA / case / "root.out").read_bytes()
    whole = measurement(log, b"")
    lines = log.splitlines(keepends=True)
    for at, line in enumerate(lines):
        lost, doubled = lines[:at] + lines[at + 1 :], [*lines[:at], line, *lines[at:]]
        for changed in (lost, doubled):
            assert not changes_silently(b"".join(changed), whole), (at, line)


@pytest.mark.parametrize("case", CASES)
def test_a_doubled_line_of_the_head_costs_no_measurement(case: str) -> None:
    log = (DATA / case / "root.out").read_bytes()
    lines = log.splitlines(keepends=True)
    for at, line in enumerate(lines):
        if line.startswith(("📄".encode(), "💡".encode(), "⏩".encode())):
            assert read(b"".join([*lines[:at], line, *lines[at:]])) == measurement(log, b"")


CHANGES = {
    "blanks lost": lambda log: re.sub(rb"(?m)^ +| (?= )", b"", log),
    "lines doubled": lambda log: re.sub(rb"(.*\n)", rb"\1\1", log),
    "blank lines between": lambda log: log.replace(b"\n", b"\n\n"),
    "a count too long": lambda log: log.replace(b"nTokens: 21", b"nTokens: 9999999999"),
    "a rate that is two": lambda log: log.replace(b"tokens/s: ", b"tokens/s: 1e999 "),
    "killed within the totals": lambda log: log[: log.index(b"Prediction\n") + 12],
}


@pytest.mark.parametrize("change", CHANGES)
def test_totals_that_cannot_be_read_are_told_and_not_taken_for_none(change: str) -> None:
    log = CHANGES[change]((DATA / "inf_small_q40_n2" / "root.out").read_bytes())
    read = parse_log(BytesIO(log))
    assert read.outcome == "truncated"
    assert "there are lines of totals, and no whole block of them" in read.flags


def test_lines_of_tokens_that_something_changed_are_counted_where_no_totals_tell_so() -> None:
    log = (DATA / "inf_small_q40_n2" / "root.out").read_bytes()
    killed = log[: log.index(b"\nEvaluation")]
    assert parse_log(BytesIO(killed[:-5])).flags == ()
    (flag,) = parse_log(BytesIO(re.sub(rb" +", b" ", killed) + b"\n")).flags
    assert flag.startswith("22 lines begin like those of tokens and have not their form")


def test_totals_of_no_time_for_lines_that_took_some_are_told() -> None:
    log = (DATA / "inf_small_q40_n2" / "root.out").read_bytes()
    none = re.sub(rb"tokens/s: \S+ \(\S+ ms", b"tokens/s: inf (0.00 ms", log)
    flags = parse_log(BytesIO(none)).flags
    assert flags == (
        "evaluation: the lines sum up to 1726 ms, the summary says 0.00 ms",
        "prediction: the lines sum up to 1674 ms, the summary says 0.00 ms",
    )


def test_a_perplexity_of_more_tokens_than_have_lines_is_told() -> None:
    log = (DATA / "perp_small_n1" / "root.out").read_bytes()
    assert parse_log(BytesIO(log)).flags == ()
    (flag,) = parse_log(BytesIO(log.replace(b"Evaluating ", b"Evaluating 9"))).flags
    assert flag.startswith("there are not as many probabilities as the 9")


@pytest.mark.parametrize("case", ["inf_small_q40_n2", "old_v0.12.8_n2"])
def test_a_worker_that_was_killed_in_the_midst_of_a_line_hides_no_other(case: str) -> None:
    log = (DATA / case / "worker1.out").read_bytes()
    (alone,) = parse_runs(BytesIO(log), "worker")
    begin = log.index("⭕ The root node has connected".encode()) + 40
    for size in range(begin, log.index("🛑".encode()), 7):
        killed, whole = parse_runs(BytesIO(log[:size] + log), "worker")
        assert whole == alone
        assert killed.outcome == "truncated"


def test_what_a_root_says_behind_a_worker_is_not_the_workers() -> None:
    root, worker = (
        (DATA / "inf_small_q40_n2" / f"{name}.out").read_bytes() for name in ("root", "worker1")
    )
    alone = parse_log(BytesIO(worker), "worker")
    assert parse_log(BytesIO(worker + root), "worker") == alone
