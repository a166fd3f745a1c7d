"""A system as judge: every pair in both orders, what wavers is a tie, and what it costs to stop."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analysis.report import write_report
from collect.judging import read_judges
from collect.ratings import answer_hash, read_ratings
from core.errors import HerdError
from experiments.planning.systems import load_systems
from experiments.rating import llm_judge as judging
from experiments.rating.llm_judge import PROMPT, choice_of, judge_answers
from tests.doubles.api_server import (
    DONE,
    Behaviour,
    answering,
    delta,
    refusing,
    saying,
    serving,
)
from tests.doubles.asked_run import ENGINE, make_asked_run

KEY = "sk-planted-0123456789"
QUESTIONS = {"why": "Why {first}?", "느린-노드": "왜 느립니까?"}
GIVEN = {
    1: [{"why": "One waits for all the others.", "느린-노드": "모두가 기다립니다."}],
    2: [{"why": "No {idea}.", "느린-노드": "모두가 기다립니다."}],
    4: [{"why": "No {idea}.", "느린-노드": "🦙"}],
}
FIRST, SECOND, TIE = (saying(f"Because.\nVerdict: {word}") for word in ("A", "B", "tie"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_asked_run(tmp_path / "results", QUESTIONS, GIVEN)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)


@contextmanager
def systems(
    run: Path, monkeypatch: pytest.MonkeyPatch, *behaviours: Behaviour, price: str = ""
) -> Iterator[list[bytes]]:
    """A judge whose server behaves so; the requests that it gets."""
    file = run.parent / "systems.yml"
    file.unlink(missing_ok=True)
    load_systems.cache_clear()
    with serving(*behaviours) as (url, requests):
        file.write_text(
            "systems:\n"
            "  judge:\n    engine: openai\n    model: judge-model\n    key_env: JUDGE_KEY\n"
            f"    url: {url.removesuffix('/chat/completions')}\n{price}"
            "  nodes: {engine: llama.cpp, model: stories15m, nodes: 1, weights: f32}\n"
        )
        monkeypatch.setattr(judging, "SYSTEMS", file)
        yield requests


def judged(run: Path, monkeypatch: pytest.MonkeyPatch, *behaviours: Behaviour) -> list[bytes]:
    """Have the judge compare; the requests that it got."""
    with systems(run, monkeypatch, *behaviours) as requests:
        judge_answers(run, "judge", lambda _line: None)
    return requests


def test_every_pair_is_asked_in_both_orders_without_names(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = judged(run, monkeypatch, FIRST, SECOND, SECOND, SECOND)

    (found,) = read_judges(run)
    assert found.judge.prompt == PROMPT
    assert (found.judge.name, found.judge.model) == ("judge", "judge-model")
    orders = [(one.question, one.first, one.second) for one in found.comparisons]
    texts = {question: {c[0][question] for c in GIVEN.values()} for question in QUESTIONS}
    assert len(orders) == len(set(orders)) == sum(len(t) * (len(t) - 1) for t in texts.values())
    assert all((question, second, first) in orders for question, first, second in orders)
    assert [one.choice for one in found.comparisons] == ["first", "second", "second", "second"]
    assert found.comparisons[0].said == "Because.\nVerdict: A"

    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in requests]
    asked = [body["messages"][0]["content"] for body in bodies]
    assert "<question>\nWhy {first}?\n</question>" in asked[0]
    assert "No {idea}." in asked[0]
    assert asked[0].index("No {idea}.") < asked[0].index("One waits") or asked[1].index(
        "No {idea}."
    ) < asked[1].index("One waits")
    assert not [text for text in asked if ENGINE in text or "cell000" in text]
    assert {body["temperature"] for body in bodies} == {0}


def test_the_key_is_sent_and_written_nowhere(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = judged(run, monkeypatch, saying(f"You sent {KEY}. Verdict: A"), FIRST, TIE, TIE)
    assert all(f"Authorization: Bearer {KEY}".encode() in request for request in requests)
    written = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
    assert len(written) > 4
    assert not [content for content in written if KEY.encode() in content]


def test_a_judge_goes_on_where_it_was_broken_off(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refusing("401 Unauthorized", json.dumps({"error": {"message": f"{KEY} is bad"}}))
    said: list[str] = []
    with systems(run, monkeypatch, FIRST, SECOND, refused, SECOND, FIRST) as requests:
        with pytest.raises(HerdError) as caught:
            judge_answers(run, "judge", said.append)
        assert len(read_judges(run)[0].comparisons) == 2
        judge_answers(run, "judge", said.append)
        judge_answers(run, "judge", said.append)

    assert "does not accept the key in JUDGE_KEY" in str(caught.value)
    assert KEY not in str(caught.value)
    assert [one.choice for one in read_judges(run)[0].comparisons] == [
        "first", "second", "second", "first",
    ]  # fmt: skip
    assert len(requests) == 5
    heads = [line for line in said if line.startswith("judge: 2 pairs")]
    assert [head.partition("; ")[2] for head in heads] == [
        "4 of 4 replies remaining.", "2 of 4 replies remaining.", "0 of 4 replies remaining.",
    ]  # fmt: skip


def test_another_model_or_prompt_is_not_mixed_with_the_first(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(run, monkeypatch, FIRST, SECOND, FIRST, SECOND)
    with pytest.raises(HerdError, match="another model or another prompt"):
        judged(run, monkeypatch, FIRST)  # its address is another one


def test_who_cannot_judge_is_told_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with systems(run, monkeypatch, FIRST) as requests:
        with pytest.raises(HerdError, match="nodes cannot judge: it runs on nodes"):
            judge_answers(run, "nodes", print)
        with pytest.raises(HerdError, match="Unknown system jugde"):
            judge_answers(run, "jugde", print)
        monkeypatch.delenv("JUDGE_KEY")
        with pytest.raises(HerdError, match="JUDGE_KEY, which is not set"):
            judge_answers(run, "judge", print)
    assert requests == []


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Verdict: A", "first"),
        ("A is vague.\n**Verdict:** B.", "second"),
        ("verdict: TIE", "tie"),
        ("Verdict: A would be hasty.\nVerdict: B", "second"),
        ("The verdict is that both are fine.", None),
        ("Verdict: Both", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_from_a_reply(reply: str, choice: str | None) -> None:
    assert choice_of(reply) == choice


def test_the_report_counts_what_does_not_depend_on_the_order(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `why`: one answer wins in both orders. The other question: whichever is shown first.
    judged(run, monkeypatch, FIRST, SECOND, FIRST, FIRST)
    winner = min(answer_hash(cell[0]["why"]) for cell in GIVEN.values())
    one_wins = winner == answer_hash(GIVEN[1][0]["why"])

    index = write_report(run, run.parents[1] / "reports").index
    markdown = (index.parent / "report.md").read_text()

    better, worse = (1, 0) if one_wins else (0, 1)
    one, two, four = ("llama.cpp, one node", "llama.cpp, two nodes", "llama.cpp, four nodes")
    assert f"| {one} | {two} | {better} | {worse} | 0 | 1 | 0 |" in markdown
    assert f"| {one} | {four} | {better} | {worse} | 1 | 0 | 0 |" in markdown
    assert f"| {two} | {four} | 0 | 0 | 1 | 1 | 0 |" in markdown
    assert "chose the one shown first in 3 of 4 decisions, and for 1 of 2 pairs" in markdown
    assert f"The longer answer won {int(one_wins)} of 1 pairs" in markdown
    page = index.read_text()
    assert "Judged by judge" in page
    assert "A longer answer is not better" in page, "what it was asked stands there"
    assert read_ratings(run) == {}, "a judge is no rater"


PRICE = "    price: {input: 10, output: 100, currency: EUR, date: 2026-01-01}\n"


def most(*texts: str) -> float:
    """The most that a comparison of these texts (question and answers) costs, in EUR."""
    frame = len(PROMPT.replace("{question}", "").replace("{first}", "").replace("{second}", ""))
    read = frame + sum(len(text.encode()) for text in texts) + 64
    return (10 * read + 100 * 400) / 1e6


ALL = sum(
    2 * most(text, *{answers[0][question] for answers in GIVEN.values()})
    for question, text in QUESTIONS.items()
)
"""The most that all four comparisons cost."""


def test_what_a_judge_costs_is_told_before_and_after_and_in_the_report(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    uncounted = answering(delta("Verdict: A"), DONE)
    with systems(run, monkeypatch, FIRST, SECOND, FIRST, uncounted, price=PRICE) as requests:
        judge_answers(run, "judge", said.append, ALL)

    assert len(requests) == 4
    assert said[1] == f"judge: 4 answers to ask, at most {ALL:.4f} EUR (prices of 2026-01-01)"
    assert said[2] == f"--max-cost {ALL:g}: no question is asked that could exceed it."
    bill = "judge: 4 answers, 30 tokens read, 6 generated: 0.0009 EUR, and at most "
    assert said[-1].startswith(bill)
    assert said[-1].endswith("for 1 not counted (prices of 2026-01-01)")
    write_report(run, run.parents[1] / "reports")
    markdown = (run.parents[1] / "reports" / run.name / "report.md").read_text()
    told = "Its replies cost 0.000900 EUR (30 tokens read, 6 generated, prices of 2026-01-01)"
    assert f"{told}. The server did not report the cost of 1 more." in markdown


def test_a_judge_that_may_cost_more_than_the_ceiling_is_not_asked(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = rf"than --max-cost 0.1: judge: .* {ALL:.4f} EUR"
    with (
        systems(run, monkeypatch, FIRST, price=PRICE) as requests,
        pytest.raises(HerdError, match=told),
    ):
        judge_answers(run, "judge", print, 0.1)
    assert requests == []


def test_a_ceiling_needs_the_price_of_a_judge(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        systems(run, monkeypatch, FIRST) as requests,
        pytest.raises(HerdError, match="judge has no price"),
    ):
        judge_answers(run, "judge", print, 1.0)
    assert requests == []


def test_a_reply_that_broke_off_costs_and_is_asked_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = answering(delta("Because"), end="")
    said: list[str] = []
    with systems(run, monkeypatch, FIRST, cut, FIRST, FIRST, FIRST, price=PRICE) as requests:
        with pytest.raises(HerdError, match="the stream was cut"):
            judge_answers(run, "judge", said.append)
        assert "at most 0.0" in said[-1], "the bill is told all the same"
        assert "for 1 not counted" in said[-1]
        with pytest.raises(HerdError, match=r"so far judge: 2 answers"):
            judge_answers(run, "judge", print, 0.75 * ALL)
        judge_answers(run, "judge", said.append, 1.25 * ALL)

    assert len(requests) == 5
    (found,) = read_judges(run)
    assert len(found.comparisons) == 4
    assert [one.said for one in found.broken] == ["Because"]


def test_a_new_price_changes_nothing_but_the_bill(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with systems(run, monkeypatch, FIRST, SECOND, FIRST, SECOND, FIRST) as requests:
        judge_answers(run, "judge", print)
        file = run.parent / "systems.yml"
        url = re.search(r"url: .*\n", file.read_text())
        assert url
        file.write_text(file.read_text().replace(url[0], url[0] + PRICE))
        load_systems.cache_clear()
        judge_answers(run, "judge", print)
    assert len(requests) == 4
    assert read_judges(run)[0].judge.price is not None


def test_a_reply_whose_tokens_nobody_can_count_is_taken_and_costs_the_most(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = answering(delta("Verdict: A"), 'data: {"usage":{"completion_tokens":1e999}}\n\n', DONE)
    said: list[str] = []
    with systems(run, monkeypatch, odd, odd, odd, odd, price=PRICE) as requests:
        judge_answers(run, "judge", said.append)
        judge_answers(run, "judge", said.append)

    assert len(requests) == 4, "each is asked once"
    comparisons = read_judges(run)[0].comparisons
    assert [(one.choice, one.error, one.generated_tokens) for one in comparisons] == [
        ("first", None, None)
    ] * 4
    assert "at most" in said[-1]


def test_half_a_character_of_a_judge_is_replaced_and_paid_once(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = '{"model":"\\ud800m","choices":[{"delta":{"content":"Verdict: A \\udfff"}}]}'
    half = answering(f"data: {event}\n\n", DONE)
    with systems(run, monkeypatch, half, half, half, half) as requests:
        judge_answers(run, "judge", print)
        judge_answers(run, "judge", print)

    assert len(requests) == 4
    said = {(one.choice, one.said, one.served_model) for one in read_judges(run)[0].comparisons}
    assert said == {("first", "Verdict: A \ufffd", "\ufffdm")}


def test_answers_too_long_to_compare_are_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = {"why": "Why?", "when": "When?"}
    given = {n: [{"why": f"{n}" * 70_000, "when": f"{n}" * 60_000}] for n in (1, 2)}
    run = make_asked_run(tmp_path / "results", questions, given)
    said: list[str] = []
    with systems(run, monkeypatch, FIRST, FIRST) as requests:
        judge_answers(run, "judge", said.append)

    assert len(requests) == 2
    assert (
        "2 of 4 comparisons are left out, because their two answers together exceed 127" in said[0]
    )


def test_a_client_that_was_killed_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torn = subprocess.CompletedProcess((), -9, stdout=b'{"status": 2', stderr=b"")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: torn)

    with pytest.raises(HerdError, match="exit code -9"):
        judged(run, monkeypatch, FIRST)
