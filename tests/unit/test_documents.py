"""The workload `documents`: a trial a document, bits per byte of each."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from collect.documents import DocumentPart, LeftOut, summary_of, take_documents
from collect.workloads import Documents
from core.errors import HerdError
from experiments.engines import ENGINES
from experiments.engines.base import Cell
from experiments.planning.describe import describe
from experiments.planning.matrix import load_matrix
from experiments.planning.plan import make_plan
from models.catalogue import load_catalogue
from models.fetch import open_checkpoint, read_fetched
from models.splitter import Splitter
from models.tokenizer import PieceType, Tokenizer
from tests.unit.test_engines import cell, cluster, option

STORY = "Once there was a little dog."
KOREAN = "안녕하세요. 저는 작은 강아지입니다. 반갑습니다."
WORKLOAD = Documents(
    file="held_out.jsonl",
    scored=(
        DocumentPart(document="dog", text=STORY),
        DocumentPart(document="강아지", text=KOREAN),
    ),
)


@pytest.fixture
def weights() -> None:
    """The vocabulary comes with the weights."""
    try:
        open_checkpoint(load_catalogue().get("stories15m"))
    except HerdError as error:
        pytest.skip(str(error))


def documents_cell(engine: str, repeat: int = 1, **params: object) -> Cell:
    return replace(cell(engine, **params), workload=WORKLOAD, repeat=repeat)


def jsonl(folder: Path, *lines: object) -> Path:
    path = folder / "held_out.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_documents_are_lines_with_single_spaces(tmp_path: Path) -> None:
    path = tmp_path / "tales.txt"
    path.write_text("A dog\n  ran to  its\thouse.\n\n\nToo short.\n\nIt was\u00a0happy all day.\n")
    taken = take_documents(path, 10, 600)
    assert [(one.document, one.text) for one in taken.parts] == [
        ("paragraph 1", "A dog ran to its house."),
        ("paragraph 3", "It was happy all day."),
    ]
    assert taken.left_out == LeftOut(short=1)


def test_first_parts_of_all_documents_come_before_second_ones(tmp_path: Path) -> None:
    lines = [
        {"document": name, "text": f"{name} part {part} {STORY}", "ids": [1]}
        for name in "ab"
        for part in (1, 2)
    ]
    taken = take_documents(jsonl(tmp_path, *lines), 3, 600)
    assert [one.name for one in taken.parts] == ["a", "b", "a, part 2"]
    assert taken.left_out == LeftOut(beyond=1)
    assert summary_of(taken.parts, taken.left_out) == (
        "2 documents in 3 parts; left out: 1 beyond `count`"
    )


def test_what_is_too_long_is_cut_and_counted(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"document": "dog", "text": STORY}, {"document": "b", "text": "a\0" * 9})
    taken = take_documents(path, 10, 17)
    assert taken.parts == (DocumentPart(document="dog", text=STORY[:16], is_cut=True),)
    assert summary_of(taken.parts, taken.left_out) == (
        "1 document, 1 of them cut; left out: 1 with characters that do not print"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"document": "a", "text"', "line 2: it is not JSON"),
        ("[1]", "line 2: it is no JSON object"),
        ('{"document": "a"}', "line 2: `text` is missing"),
        ('{"document": 1, "text": "b"}', "line 2: `document` must be a text"),
        ('{"document": "", "text": "b"}', "line 2: `document` is empty"),
        ("[" * 100_000, "line 2: it is not JSON"),
    ],
)
def test_a_damaged_line_is_named(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "held_out.jsonl"
    path.write_text(json.dumps({"document": "dog", "text": STORY}) + "\n" + line + "\n")
    with pytest.raises(HerdError, match=told) as refused:
        take_documents(path, 10, 600)
    assert '{"document": "a name", "text": "…"}' in str(refused.value)


def test_a_file_that_is_missing_empty_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="No such file"):
        take_documents(tmp_path / "none.txt", 10, 600)
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(HerdError, match="no document of 16 printable characters"):
        take_documents(tmp_path / "empty.txt", 10, 600)
    (tmp_path / "latin.txt").write_bytes(b"one\ntwo \xe9\n")
    with pytest.raises(HerdError, match=r"line 2: it is not UTF-8"):
        take_documents(tmp_path / "latin.txt", 10, 600)


def matrix_of(folder: Path, more: str = "") -> Path:
    path = jsonl(folder, *({"document": f"d{i}", "text": STORY} for i in range(3)))
    matrix = folder / "matrix.yml"
    matrix.write_text(
        f"title: Held out\nworkload: {{kind: documents, file: {path}}}\n"
        f"axes: {{engine: [llama.cpp], model: [stories15m]}}\n{more}"
    )
    return matrix


def test_a_cell_has_a_trial_for_each_document(tmp_path: Path) -> None:
    matrix = load_matrix(matrix_of(tmp_path))
    assert matrix.repeats == 3
    assert isinstance(matrix.workload, Documents)
    assert [part.document for part in matrix.workload.scored] == ["d0", "d1", "d2"]
    assert load_matrix(matrix_of(tmp_path, "repeats: 3\n")).repeats == 3
    with pytest.raises(HerdError, match="has one trial for each, 3 here, but"):
        load_matrix(matrix_of(tmp_path, "repeats: 6\n"))
    with pytest.raises(HerdError, match="its documents, once each"):
        matrix.override(repeats=2)


def test_a_plan_says_which_documents_are_taken(tmp_path: Path) -> None:
    told = "\n".join(describe(make_plan(load_matrix(matrix_of(tmp_path)), cluster())))
    assert f"{tmp_path}/held_out.jsonl: 3 documents" in told


@pytest.mark.usefixtures("weights")
def test_engines_score_document_k_in_trial_k() -> None:
    splitter = Splitter(read_fetched(load_catalogue().get("stories15m")).tokenizer)
    for repeat, text in ((1, STORY), (2, KOREAN)):
        ids = splitter.encode(text)
        of_dllama = ENGINES["distributed-llama"].deploy(
            documents_cell("distributed-llama", repeat), cluster()
        )
        assert option(of_dllama.root.argv, "--prompt") == f" {text}"
        of_llama = ENGINES["llama.cpp"].deploy(documents_cell("llama.cpp", repeat), cluster())
        asked = [json.loads(question)["body"]["prompt"] for question in of_llama.root.argv[3:]]
        assert asked == [list(ids[:end]) for end in range(1, len(ids))]
        of_petals = ENGINES["petals"].deploy(documents_cell("petals", repeat), cluster())
        assert option(of_petals.root.argv, "--prompt") == text
        for deployment in (of_dllama, of_llama, of_petals):
            assert deployment.scored is not None
            assert deployment.scored.tokens == len(ids) - 1
            assert deployment.scored.size == len(text.encode())


@pytest.mark.usefixtures("weights")
def test_a_document_must_fit_the_context() -> None:
    long = Documents(file="f", scored=(DocumentPart(document="d", text="dog and cat " * 100),))
    for engine in ("distributed-llama", "llama.cpp"):
        refused = ENGINES[engine].check(replace(cell(engine), workload=long), cluster())
        assert refused is not None
        assert "request fewer `characters` of each in the matrix" in refused


def test_llama_cpp_scores_only_ascii(tmp_path: Path) -> None:
    refused = ENGINES["llama.cpp"].check(documents_cell("llama.cpp", split_mode="layer"), cluster())
    assert refused is not None
    assert "llama.cpp scores only documents in ASCII, and 강아지 has other" in refused
    path = matrix_of(tmp_path)
    with (tmp_path / "held_out.jsonl").open("a") as file:
        for text in (KOREAN, "“It’s fine” — he said…"):  # noqa: RUF001 - typography
            file.write(json.dumps({"document": "more", "text": text}) + "\n")
    with_llama = load_matrix(path).workload
    assert isinstance(with_llama, Documents)
    assert with_llama.left_out == LeftOut(not_ascii=1)
    assert with_llama.scored[3].text == '"It\'s fine" - he said...'
    path.write_text(path.read_text().replace("llama.cpp", "distributed-llama"))
    without = load_matrix(path).workload
    assert isinstance(without, Documents)
    assert [one.text for one in without.scored[3:4]] == [KOREAN]


def test_an_engine_that_splits_with_flash_attention_is_refused() -> None:
    refused = ENGINES["llama.cpp"].check(
        documents_cell("llama.cpp", split_mode="tensor", nodes=2), cluster()
    )
    assert refused is not None
    assert "scores of documents cannot be compared" in refused


def test_without_a_beginning_the_first_token_has_no_probability() -> None:
    pieces = ("a", "b", "Ġ", "<|begin|>", "ab")
    kinds = tuple(PieceType.CONTROL if piece[0] == "<" else PieceType.NORMAL for piece in pieces)
    vocabulary = Tokenizer(
        pieces=pieces,
        scores=(0.0,) * 5,
        types=kinds,
        unknown_id=None,
        bos_id=3,
        eos_ids=(3,),
        kind="byte-level",
        merges=(("a", "b"),),
        pre_tokenizer="gpt-2",
        add_space="never",
        add_bos=False,
    )
    splitter = Splitter(vocabulary)
    assert splitter.encode("abba") == (4, 1, 0)
    assert splitter.unscored_bytes("abba") == 2
    begun = Splitter(replace(vocabulary, add_bos=True))
    assert begun.encode("abba") == (3, 4, 1, 0)
    assert begun.unscored_bytes("abba") == 0
    assert not math.isnan(splitter.unscored_bytes("a"))
