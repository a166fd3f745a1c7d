"""What training reads: tokens that engines would send, and a loss on answers only."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import HerdError
from experiments.finetune.data.chat_forms import form_of
from experiments.finetune.data.documents import Document, Turn
from experiments.finetune.data.examples import ExampleWriter
from experiments.finetune.data.prepare import Prepared, prepare_data
from experiments.finetune.data.tokens import BaseTokens
from experiments.finetune.dry_run import example_lines, shown_text
from models.formats.huggingface.vocabulary_reader import read_vocabulary
from models.tuned import Split
from tests.doubles.finetune_data import base_folder, recipe, spec, write_jsonl

_SOME = ["Lily", "ate", "12", "cakes", "고양이가", "놀고", "[end]", "😀", "ﬁn"]
WORDS = st.lists(st.sampled_from(_SOME), min_size=1)
SAID = WORDS.map(" ".join)
PAIR = {"prompt": "q", "response": "a"}


@pytest.fixture(scope="module", params=["sentencepiece", "byte-level"])
def tokens(request: pytest.FixtureRequest) -> BaseTokens:
    return BaseTokens(base_folder(request.param))


def _writer(tokens: BaseTokens, sequence: int) -> ExampleWriter:
    name = "model" if tokens.template else "llama2"
    return ExampleWriter(tokens, form_of(name, tokens, "base", "r.yml"), sequence)


@settings(max_examples=40, deadline=None)
@given(text=SAID, sequence=st.integers(8, 40))
def test_windows_are_the_text(tokens: BaseTokens, text: str, sequence: int) -> None:
    """No window is too long, each is what its tokens say, and together they have every word."""
    written = _writer(tokens, sequence).write([Document("a:1", text=text)], ["a:1"])
    for example in written.examples:
        assert len(example.ids) <= sequence
        assert example.ids == tokens.encode(example.text)
        assert tokens.decode(example.ids[len(tokens.begin) :]) == example.text
        assert list(example.trained) == [False] + [True] * (len(example.ids) - 1)
    together = "".join(example.text for example in written.examples)
    assert "".join(together.split()) == "".join(text.split())


@settings(max_examples=40, deadline=None)
@given(asked=SAID, answer=SAID)
def test_the_loss_is_on_the_answer_alone(tokens: BaseTokens, asked: str, answer: str) -> None:
    """What is asked is tokenised as an engine would, and has no loss; the answer and its end do."""
    turns = (Turn("user", asked), Turn("assistant", answer))
    form = form_of("model" if tokens.template else "llama2", tokens, "base", "r.yml")
    written = _writer(tokens, 4000).write([Document("a:1", turns=turns)], ["a:1"])
    example = written.examples[0]
    prompt = tokens.encode(form(turns[:1]))
    assert example.ids[: len(prompt)] == prompt
    assert not any(example.trained[: len(prompt)])
    counted = [n for n, trained in zip(example.ids, example.trained, strict=True) if trained]
    assert counted[-1] in tokens.ends
    assert tokens.decode(tuple(counted[:-1])).strip() == answer
    assert tokens.decode(example.ids[len(tokens.begin) :]) == example.text


def test_each_answer_of_a_conversation_counts() -> None:
    tokens = BaseTokens(base_folder("byte-level"))
    turns = tuple(
        Turn(role, text)
        for role, text in (
            ("system", "Be kind."),
            ("user", "Hello"),
            ("assistant", "Hi"),
            ("user", "More?"),
            ("assistant", "No more"),
        )
    )
    written = _writer(tokens, 400).write([Document("a:1", turns=turns)], ["a:1"])
    example = written.examples[0]
    counted = tuple(n for n, t in zip(example.ids, example.trained, strict=True) if t)
    assert tokens.decode(counted) == "Hi<|im_end|>No more<|im_end|>"


def test_a_prompt_without_room_for_an_answer_is_left_out() -> None:
    tokens = BaseTokens(base_folder("byte-level"))
    long = Document("a:1", turns=(Turn("user", "word " * 60), Turn("assistant", "yes")))
    cut = Document("a:2", turns=(Turn("user", "w"), Turn("assistant", "yes " * 60)))
    written = _writer(tokens, 40).write([long, cut], ["a:1", "a:2"])
    assert written.too_long == ("a:1",)
    assert written.cut == 2
    (example,) = written.examples
    assert len(example.ids) == 40
    assert tokens.decode(example.ids) == example.text


def test_data_is_split_by_prompt_and_stored(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"q": f"What is number {n // 2}?", "a": f"It is {n}."} for n in range(40)
    ]
    write_jsonl(tmp_path / "p.jsonl", [*rows, {"q": "what is NUMBER 3", "a": "It is 6"}])
    asked = recipe(tmp_path, "p.jsonl", columns=PAIR, sequence=200, model="smollm2-135m")
    base, folder = base_folder("byte-level"), tmp_path / "tuned"
    told: list[str] = []
    prepared = prepare_data(asked, base, spec(), folder, told.append)
    train, held_out = ({e.document for e in part} for part in (prepared.train, prepared.held_out))
    assert (len(train), len(held_out)) == (18, 2)
    assert not train & held_out
    assert prepared.split.exact_duplicates == 1
    assert len(prepared.train) + len(prepared.held_out) == 40
    stored = [json.loads(line) for line in (folder / "data/train.jsonl").read_text().splitlines()]
    assert [tuple(row["ids"]) for row in stored] == [e.ids for e in prepared.train]
    assert prepare_data(asked, base, spec(), folder, told.append) == prepared
    assert "1 exact duplicates" in told[0]


def test_changed_data_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("\n\n\n".join(f"Story {n} of Lily." for n in range(20)))
    asked = recipe(tmp_path, "p.txt")
    base, folder = base_folder(), tmp_path / "tuned"
    prepare_data(asked, base, spec(), folder, lambda _: None)
    path.write_text(path.read_text() + " And more.")
    with pytest.raises(HerdError, match=r"p.txt changed.*--new"):
        prepare_data(asked, base, spec(), folder, lambda _: None)
    path.write_text(path.read_text().removesuffix(" And more."))
    (folder / "data/train.jsonl").write_text("")
    with pytest.raises(HerdError, match=r"train.jsonl is missing or not as it was written"):
        prepare_data(asked, base, spec(), folder, lambda _: None)


def test_a_sign_of_the_model_in_the_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("One story.\n\n\nAnother</s> one.\n\n\nA third.")
    with pytest.raises(HerdError, match=r"p.txt, line 4: it contains `</s>`"):
        prepare_data(
            recipe(tmp_path, "p.txt"), base_folder(), spec(), tmp_path / "t", lambda _: None
        )


def test_a_form_is_asked_for_where_the_model_has_none(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{"q": "One?", "a": "1"}, {"q": "Two?", "a": "2"}])
    asked = recipe(tmp_path, "p.jsonl", columns=PAIR)
    with pytest.raises(HerdError, match=r"has no chat template.*chat_template: llama2"):
        prepare_data(asked, base_folder(), spec(), tmp_path / "t", lambda _: None)


def test_the_time_to_cut_a_text_is_in_proportion(
    tokens: BaseTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    split = BaseTokens._split
    monkeypatch.setattr(
        BaseTokens, "_split", lambda self, text: read.append(len(text)) or split(self, text)
    )
    for text in ("Lily ate 12 cakes. " * 300, "가나다" * 500, ("a " + " " * 900) * 6):
        read.clear()
        pieces = tokens.windows(text, 64)
        assert sum(read) < 4 * len(text)
        assert all(len(tokens.encode(piece)) <= 64 for piece in pieces)


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" the", "' the'"),
        ("가".encode(), "'가'"),
        (" 가".encode()[:-1], "' <0xEA><0xB0>'"),
        ("가".encode()[2:], "'<0x80>'"),
        (b"\n\x1b[2J", r"'\n\x1b[2J'"),
        (b"<|im_end|>", "'<|im_end|>'"),
    ],
)
def test_a_token_is_shown_so_that_it_can_be_read(piece: bytes, shown: str) -> None:
    assert shown_text(piece) == shown


def test_an_example_is_printed_token_by_token() -> None:
    base = base_folder("byte-level")
    tokens = BaseTokens(base)
    turns = (Turn("user", "고양이가 12"), Turn("assistant", "Lily"))
    written = _writer(tokens, 400).write([Document("a:1", turns=turns)], ["a:1"])
    lines = list(example_lines(1, written.examples[0], read_vocabulary(base)))
    said = [literal_eval(line[20:]) for line in lines[1:]]
    raw = [part for one in said for part in re.split(r"(<0x[0-9A-F]{2}>)", one)]
    together = b"".join(
        bytes([int(part[3:5], 16)]) if part.startswith("<0x") else part.encode() for part in raw
    )
    assert together.decode() == written.examples[0].text
    assert [int(line[:6]) for line in lines[1:]] == list(range(len(said)))
    counted = [one for one, line in zip(said, lines[1:], strict=True) if "loss" in line]
    assert counted == ["Li", "ly", "<|im_end|>"]


def test_the_licence_of_the_data_is_joined_to_that_of_the_base() -> None:
    split = Split(train_documents=1, held_out_documents=1, train_tokens=1, held_out_tokens=1)
    listed = Prepared((), (), split, "", licence="BSD")
    assert listed.licence_with("MIT") == "MIT (base); BSD (data)"
    own = Prepared((), (), split, "")
    assert own.licence_with("MIT") == "MIT (base); not stated, files of yours (data)"
