"""The key of a question against what systems answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from collect.grading import is_right, stated_number
from collect.questions import AnswerKey, Question, load_questions
from collect.spoken_numbers import numbers_in

PROJECT = Path(__file__).resolve().parents[2]
KEYED = load_questions(PROJECT / "experiments" / "questions" / "keyed.yml")
PHRASINGS = yaml.safe_load((PROJECT / "tests" / "data" / "phrasings.yml").read_text("utf-8"))
REFUSALS = (
    "",
    "  \n",
    "I do not know.",
    "As a language model I cannot answer that.",
    "모르겠습니다.",
)


def key_of(question: Question) -> AnswerKey:
    assert question.key is not None
    return question.key


def shortest(question: Question) -> str:
    """What a terse system would answer."""
    key = key_of(question)
    return f"{key.value:g}" if isinstance(key.value, float) else PHRASINGS[question.id]["right"][0]


def test_there_are_enough_questions_of_several_topics_in_two_languages() -> None:
    assert len(KEYED) >= 60
    topics = [question.topic for question in KEYED]
    assert all(topics.count(topic) >= 10 for topic in set(topics))
    assert len(set(topics)) == 5
    assert sum(bool(re.search("[가-힣]", question.text)) for question in KEYED) == 12
    assert len({question.text for question in KEYED}) == len(KEYED)


def test_every_question_has_phrasings_and_no_phrasing_is_of_none() -> None:
    assert [question.id for question in KEYED] == list(PHRASINGS)


@pytest.mark.parametrize("question", KEYED, ids=lambda question: question.id)
def test_a_key_accepts_right_phrasings_and_refuses_wrong_ones(question: Question) -> None:
    key, listed = key_of(question), PHRASINGS[question.id]
    plain = shortest(question)
    made = (
        plain,
        f"The answer is {plain}.",
        f"Answer: **{plain}**",
        f"Answer:\n{plain}\n\nBecause of 3 reasons.",
        f"<think>Is it 77 or Sydney?</think>\n\n{plain}",
        f"정답은 {plain}",
    )
    assert [text for text in (*made, *listed["right"]) if not is_right(key, text)] == []
    wrong = (*REFUSALS, f"<think>{plain}</think>I cannot say.", *listed["wrong"])
    assert [text for text in wrong if is_right(key, text)] == []


@pytest.mark.parametrize("question", KEYED, ids=lambda question: question.id)
def test_no_key_accepts_the_answer_to_most_other_questions(question: Question) -> None:
    """A key that holds for anything would make every system right."""
    accepted = [
        o.id for o in KEYED if o is not question and is_right(key_of(question), shortest(o))
    ]
    assert len(accepted) <= 4, accepted


@pytest.mark.parametrize("question", KEYED, ids=lambda question: question.id)
def test_no_question_gives_its_own_answer_away(question: Question) -> None:
    """A system that repeats the question must not be right by that."""
    assert not is_right(key_of(question), question.text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("First 3, then 4; the answer is 7. Then 8.", 7),
        ("The answer is 5. No: the answer is 6.", 6),
        ("It is **56** and not 57.", 56),
        ("56\n1. multiply\n2. done", 56),
        ("It takes 12 days (288 hours).", 12),
        ("(12)", 12),
        ("twelve", 12),
        ("There is one way to do it: 12", 12),
        ("nothing", None),
        ("the result of 7 * 8 is 56, for 8 times", 56),
    ],
)
def test_which_number_a_text_states(text: str, number: float | None) -> None:
    assert stated_number(text) == number


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,024 and 1.5 and 3,5", [1024, 1.5, 3.5]),
        ("1 000 000", [1_000_000]),
        ("7 billion, 12만, 2e3", [7e9, 120_000, 2000]),
        ("3/8 of it; 24/0", [0.375, 24]),
        ("-4, minus 5, 7-3, 7 - 3, 영하 2", [-4, -5, 7, 3, 7, 3, -2]),
        ("H2O, aarch64, 127.0.0.1, v1.2", [127.0]),
        ("one hundred and twenty-three thousand four", [123_004]),
        ("sixteen, seventy", [16, 70]),
        ("no figure", []),
    ],
)
def test_numbers_as_they_are_written(text: str, numbers: list[float]) -> None:
    assert numbers_in(text) == numbers


def test_words_count_whole_and_undenied() -> None:
    key = AnswerKey(kind="exact", value="New York")
    assert is_right(key, "It is new  york.")
    assert not is_right(key, "New Yorkers")
    assert not is_right(key, "It is never New York")
    assert is_right(key, "I am not sure but New York")
    assert is_right(key, "Not Boston. New York!")


def test_only_what_is_called_the_answer_counts_where_something_is() -> None:
    key = AnswerKey(kind="exact", value="Paris")
    assert not is_right(key, "Paris is large, but the answer is Lyon.")
    assert is_right(key, "Lyon is large, but the answer is Paris.")
