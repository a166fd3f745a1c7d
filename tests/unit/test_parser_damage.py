"""A log that was torn or lost a line says so, or says what it said before."""

import pytest

from collect.errors import HerdError
from collect.measurement import Measurement
from collect.parsers.distributed_llama import measurement
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
        *(measured.samples, measured.evaluation, measured.prediction, measured.perplexity),
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
