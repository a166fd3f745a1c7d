"""The held-out part is unseen: no repeats, nothing nearly the same, no question that is asked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.finetune.data.asked_questions import documents_with_questions
from experiments.finetune.data.documents import Document
from experiments.finetune.data.hygiene import clean
from experiments.finetune.data.near import LONG, SHARE, Runs, nearly_same, shingles_of
from experiments.finetune.data.splitting import held_out_keys
from tests.doubles.finetune_data import recipe

WORDS = (
    "the and a to of was he that it in his you had with they for her as but she said is not "
    "little there then all on so when one were at them out him be this have went king very"
)
TEXTS = st.lists(st.text("abc 가나", min_size=1, max_size=30), min_size=1, max_size=12)


@given(left=TEXTS, right=TEXTS)
def test_no_near_pair_is_missed(left: list[str], right: list[str]) -> None:
    sides = [[shingles_of(text) for text in texts] for texts in (left, right)]
    found = nearly_same(*sides)
    runs = [[set(cast("Runs", one.short)) for one in side] for side in sides]
    for place, one in enumerate(runs[0]):
        shares = [len(one & other) / len(one | other) for other in runs[1]]
        assert (place in found) == (max(shares) >= SHARE)


def test_a_long_text_inside_a_longer_one_is_found() -> None:
    inside = " ".join(f"word{n}" for n in range(LONG))
    around = " ".join(f"other{n}" for n in range(LONG)) + inside
    sides = [shingles_of(inside)], [shingles_of(around)]
    assert nearly_same(*sides) == {0: 0}
    assert nearly_same(*reversed(sides)) == {0: 0}


def told(seed: int, words: int) -> str:
    """A text of the words of one language, in an order of its own."""
    chosen = random.Random(seed)  # noqa: S311 - words, no secret
    return " ".join(chosen.choices(WORDS.split(), k=words))


def test_long_texts_are_not_the_same_for_their_language() -> None:
    """They have most runs of four characters in common, whatever they tell."""
    texts = [shingles_of(told(seed, 2500)) for seed in range(8)]
    assert nearly_same(texts[:4], texts[4:]) == {}


@pytest.mark.parametrize("words", [30, 45, 60, 90, 3000])
def test_a_text_with_a_few_other_words_is_nearly_the_same(words: int) -> None:
    text = told(1, words).split()
    text[len(text) // 2] = "otherwise"
    assert nearly_same([shingles_of(" ".join(text))], [shingles_of(told(1, words))]) == {0: 0}


TASK = (
    "Below is an instruction that describes a task. Write a response that completes the request. "
    "Instruction: translate the sentence into Korean, and answer with nothing else. Input: "
)


@pytest.mark.parametrize("task", [TASK, "Translate into French: "])
def test_what_very_many_texts_begin_with_does_not_count(task: str) -> None:
    """Otherwise all prompts of one task were nearly the same, and nothing was left to train on."""
    said = [f"{task}{told(seed, 8)}" for seed in range(60)]
    texts = [shingles_of(one) for one in said]
    assert nearly_same(texts[:50], texts[50:]) == {}
    again = shingles_of(f"{said[55]} also")
    assert nearly_same([*texts[:49], again], texts[50:]) == {49: 5}


@pytest.mark.parametrize(
    ("one", "other"),
    [("What is 12 + 5?", "What is 12 - 5?"), ("x = a * b", "x = a / b"), ("😀😀", "😢😢")],
)
def test_texts_with_other_signs_are_not_the_same(tmp_path: Path, one: str, other: str) -> None:
    texts = [f"{text} said {name}" for text in (one, other) for name in ("Ann", "Bartholomew")]
    documents = [Document(f"a:{n}", text=text) for n, text in enumerate(texts, 1)]
    for seed in range(4):
        cleaned = clean(documents, recipe(tmp_path, "a", held_out=0.5, seed=seed))
        assert cleaned.removed == []


@given(
    keys=st.lists(st.text(max_size=4), min_size=2, max_size=40),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 99),
)
def test_a_split_is_by_key_and_does_not_depend_on_order(
    keys: list[str], share: float, seed: int
) -> None:
    if len(set(keys)) < 2:
        return
    out = held_out_keys(keys, share, seed)
    assert 0 < len(out) < len(set(keys))
    assert out == held_out_keys(keys[::-1], share, seed)


def test_what_is_nearly_held_out_is_not_trained_on(tmp_path: Path) -> None:
    texts = [
        f"Story {name} told of one {name} animal and its {name} house in a {name} forest."
        for name in ("red", "green", "yellow", "black", "purple", "orange", "한국의", "서울에")
    ]
    near = [text.replace("forest", "forest!").replace("told", "tells") for text in texts]
    documents = [Document(f"a:{n}", text=text) for n, text in enumerate([*texts, *near], 1)]
    cleaned = clean(documents, recipe(tmp_path, "a", held_out=0.25))
    assert cleaned.count("near duplicate") >= 1
    sides = [[shingles_of(one.text) for one in part] for part in (cleaned.train, cleaned.held_out)]
    assert not nearly_same(*sides)
    assert len(cleaned.train) + len(cleaned.held_out) + len(cleaned.removed) == len(documents)


def test_a_question_that_is_asked_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text(
        "title: Own\nquestions:\n  - {id: sum, text: What is 17 + 26?}\n"
        "  - {id: sea, text: Which sea is the deepest of all?}\n"
        "  - {id: 바다, text: 가장 깊은 바다는 어디에 있습니까?}\n"
    )
    documents = [
        Document("a:1", text="He asked: which sea is the DEEPEST of all? No one knew."),
        Document("a:2", text="가장 깊은 바다는 어디에 있습니까"),
        Document("a:3", text="The sea is deep."),
        Document("a:4", text="What is 17 - 26?"),
        Document("a:5", text="He wrote: what is 17 + 26? And she knew."),
    ]
    assert documents_with_questions(documents, tmp_path) == {
        "a:1": "own.yml: sea",
        "a:2": "own.yml: 바다",
        "a:5": "own.yml: sum",
    }
