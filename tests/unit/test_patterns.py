"""No log and no answer keeps a pattern of the collector busy: twice the text, twice the time."""

import re
import time
from collections.abc import Callable

import pytest

from collect import grading
from collect.parsers import dllama_failures, llama_cpp, petals
from collect.questions import AnswerKey
from tests.doubles.pattern_tree import Found, attacks, patterns_of, without_end

PATTERNS = patterns_of("collect")
WORDS = AnswerKey(kind="exact", value="New York")
NUMBER = AnswerKey(kind="numeric", value=4.0)
SMALL, LARGE = 10_000, 40_000
MOST_TIMES = 9
"""Four times as much text takes about four times as long; a square would take sixteen."""


def took_s(call: Callable[[], object]) -> float:
    """CPU time, the least of three."""
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        call()
        best = min(best, time.process_time() - begun)
    return best


def grows_straight(call: Callable[[int], object]) -> bool:
    """Whether it does, in one of three tries: other programs make a try look worse."""
    for _ in range(3):
        large_s = took_s(lambda: call(LARGE))
        if large_s < 0.02 or large_s < MOST_TIMES * took_s(lambda: call(SMALL)):
            return True
    return False


def test_the_patterns_are_found() -> None:
    places = {found.place for found in PATTERNS}
    assert len(PATTERNS) > 50
    assert {"collect.grading", "collect.spoken_numbers", "collect.parsers.llama_cpp"} <= places
    assert any("Failed to connect" in str(found.pattern.pattern) for found in PATTERNS)


@pytest.mark.parametrize("found", PATTERNS, ids=lambda f: str(f.pattern.pattern)[:40])
def test_no_run_in_a_pattern_is_without_end(found: Found) -> None:
    assert without_end(found.pattern) == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"([^\s:]+:\d+): .*Assertion", r"(\S+)(?:.*\n)+?.*RPC", r"\w+x", r"a\d*\d+x", r"(a+)+b",
        r"x.*y", r"(?:not)\s+(?:\w+\s+)*$", r"^a.*b.*c", r"\s+$", r"(?:a|\w)*b",
    ],
)  # fmt: skip
def test_the_rule_finds_what_is_a_square(pattern: str) -> None:
    assert without_end(re.compile(pattern))


@pytest.mark.parametrize(
    "pattern", [r"\*+", r"\([^()]*\)", r"\A\w*:", r"a{1,300}b", r"<t>.*?(?:</t>|\Z)", r"k=\d*;"]
)
def test_the_rule_lets_be_what_is_none(pattern: str) -> None:
    assert not without_end(re.compile(pattern, re.DOTALL))


@pytest.mark.parametrize("found", PATTERNS, ids=lambda f: str(f.pattern.pattern)[:40])
def test_a_pattern_takes_twice_the_time_for_twice_the_text(found: Found) -> None:
    for small, large in zip(
        attacks(found.pattern, SMALL), attacks(found.pattern, LARGE), strict=True
    ):
        texts = {SMALL: small, LARGE: large}
        assert grows_straight(
            lambda size, texts=texts: sum(1 for _ in found.pattern.finditer(texts[size]))
        ), large[:200]


def test_the_attacks_show_a_square() -> None:
    bad = re.compile(r"([^\s:]+:\d+): .*Assertion")
    smalls, larges = (list(attacks(bad, size)) for size in (SMALL // 4, SMALL))
    times = [
        took_s(lambda text=large: bad.search(text)) / took_s(lambda text=small: bad.search(text))
        for small, large in zip(smalls, larges, strict=True)
    ]
    assert max(times) > MOST_TIMES


UNITS = (
    "a", "a:1: ", "y\n", "RPC server version mismatch: 1\n", "Error", "a.", "error: ", "[", "1",
    "Final estimate: PPL over ", "prompt eval time = ", ": eval time = ", "🚨 Network error: ",
    "Cannot connect to ", "GGML_ASSERT(", "failed to load model '", "\x00", "terminate called ",
    "RPC server version mismatch: x\nRPC handshake failed", "Assertion `", "🔄 Retrying in ",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "cause", [dllama_failures.failure_cause, llama_cpp.failure_cause, petals.failure_cause]
)
def test_why_something_failed_is_found_in_straight_time(
    cause: Callable[[str, str], str | None], unit: str
) -> None:
    assert grows_straight(lambda size: cause("", unit * (size // len(unit))))
    assert grows_straight(lambda size: cause(unit * (size // len(unit)), "x" * size))


SAID = (
    "not Paris ", "not New York ", "New York ", "New ", "(", "(a", "<think>", "**", "** ",
    "answer to ", "answer\n\n\n", "answer is ", "9", "1,111", "one ", "1e9 ", "\\boxed ",
    "\\text{", "\\text\n\n\n", "답 ", "isn't New York, ", "아니라 New York ", "minus ", "1/", "\n",
    "never ever New York and ", "[[", "####", "2.5 ", "hundred and ", "- ",
)  # fmt: skip


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("key", [WORDS, NUMBER, AnswerKey(kind="regex", value=r"\bYork\b")])
def test_an_answer_that_loops_is_graded_in_straight_time(key: AnswerKey, said: str) -> None:
    assert grows_straight(lambda size: grading.is_right(key, said * (size // len(said))))


def test_the_words_of_a_key_make_a_pattern_without_such_a_run() -> None:
    assert without_end(re.compile(grading._words("New York on the Hudson"))) == []


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(\w*)*", r"(?:a|aa)+$", r"((a{1,2})*)*", r"(?=(a+)+)b", r"(\d+,)*\d"]
)
def test_a_key_that_may_never_be_done_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="may take forever"):
        AnswerKey(kind="regex", value=pattern)


@pytest.mark.parametrize("pattern", [r"\bAu\b|gold", r"a+b+", r"(\d{1,9},){0,9}\d", r"[ab]+", "("])
def test_any_other_key_is_taken_or_is_no_pattern(pattern: str) -> None:
    if pattern == "(":
        with pytest.raises(ValueError, match="not a valid regular expression"):
            AnswerKey(kind="regex", value=pattern)
    else:
        assert AnswerKey(kind="regex", value=pattern).value == pattern
