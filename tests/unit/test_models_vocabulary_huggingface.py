"""A Hugging Face directory's vocabulary is read, and written so that its own library loads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, models
from tokenizers import Tokenizer as Library
from tokenizers.processors import TemplateProcessing

from core.errors import HerdError
from models.formats.dllama.vocabulary_reader import read_dllama_tokenizer
from models.formats.dllama.vocabulary_writer import vocabulary_order, write_tokenizer
from models.formats.huggingface.pre_tokenizers import KNOWN_WAYS
from models.formats.huggingface.sentencepiece_model import read_sentencepiece_model
from models.formats.huggingface.vocabulary_reader import read_vocabulary
from models.formats.huggingface.vocabulary_writer import write_vocabulary
from models.tokenizer import PieceType, byte_letters
from tests.doubles.vocabularies import (
    CHATML,
    SPECIAL,
    TEXT,
    byte_level,
    split,
    trained_byte_level,
    trained_sentencepiece,
)

TEXTS = (
    "Once upon a time there was a little girl named Lily.",
    "She said: “Do not look” … it's 6789 apples, isn't it?",
    "  two spaces\n\nand\tlines \r\n",
    "고양이가 놀고 있었어요 ㄱ 漢字",
    "😀 🎉 🧩 naïve café e\u0301",
    "<|im_end|> and <|user|> inside",
)


@pytest.fixture
def sentencepiece_model(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(trained_sentencepiece())
    return path


def put(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def smollm2(folder: Path, **settings: object) -> Path:
    """The trained byte-level vocabulary as SmolLM2's directory has it."""
    folder.mkdir(exist_ok=True)
    trained_byte_level().save(str(folder / "tokenizer.json"))
    named = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "unk_token": SPECIAL[0]}
    put(folder, "tokenizer_config.json", {**named, "chat_template": CHATML, **settings})
    return folder


def test_a_byte_level_directory_is_read_as_its_gguf_states_it(tmp_path: Path) -> None:
    read = read_vocabulary(smollm2(tmp_path))
    assert read == replace(byte_level(), eos_ids=(2,))


@pytest.mark.parametrize("text", TEXTS)
def test_the_library_splits_a_written_byte_level_vocabulary_as_the_original(
    tmp_path: Path, text: str
) -> None:
    write_vocabulary(byte_level(), tmp_path)
    library = Library.from_file(str(tmp_path / "tokenizer.json"))
    original = trained_byte_level()
    assert library.encode(text).ids == original.encode(text).ids
    assert library.decode(library.encode(text).ids) == original.decode(original.encode(text).ids)


def test_a_written_byte_level_directory_reads_back(tmp_path: Path) -> None:
    write_vocabulary(byte_level(), tmp_path)
    assert read_vocabulary(tmp_path) == byte_level()


@pytest.mark.parametrize("way", KNOWN_WAYS)
def test_each_way_of_cutting_words_comes_back_from_the_library(tmp_path: Path, way: str) -> None:
    write_vocabulary(replace(byte_level(), pre_tokenizer=way, add_bos=True), tmp_path)
    read = read_vocabulary(tmp_path)
    assert (read.pre_tokenizer, read.add_bos) == (way, True)
    library = Library.from_file(str(tmp_path / "tokenizer.json"))
    assert library.encode("Once").ids[0] == 1
    assert library.decode(library.encode(TEXT).ids) == TEXT


def test_llama_3_cuts_digits_by_threes_and_qwen_one_by_one(tmp_path: Path) -> None:
    words = {}
    for way in ("llama-bpe", "qwen2"):
        write_vocabulary(replace(byte_level(), pre_tokenizer=way), tmp_path)
        library = Library.from_file(str(tmp_path / "tokenizer.json"))
        cut = library.pre_tokenizer.pre_tokenize_str("I'll eat 12345 cakes!")
        words[way] = [word for word, _ in cut]
    assert words["llama-bpe"] == ["I", "'ll", "Ġeat", "Ġ", "123", "45", "Ġcakes", "!"]
    assert words["qwen2"] == ["I", "'ll", "Ġeat", "Ġ", "1", "2", "3", "4", "5", "Ġcakes", "!"]


def test_a_sentencepiece_file_is_read_as_sentencepiece_states_it(sentencepiece_model: Path) -> None:
    read = read_sentencepiece_model(sentencepiece_model)
    library = SentencePieceProcessor(model_file=str(sentencepiece_model))
    assert list(read.pieces) == [library.id_to_piece(index) for index in range(420)]
    assert list(read.scores) == [library.get_score(index) for index in range(420)]
    assert (read.bos_id, read.eos_ids, read.unknown_id) == (1, (2,), 0)
    assert read.types[3] is PieceType.USER_DEFINED
    assert read.pieces[read.types.index(PieceType.BYTE)] == "<0x00>"


@pytest.mark.parametrize("text", TEXTS[:2] + TEXTS[3:])
def test_the_library_splits_a_written_sentencepiece_vocabulary_as_sentencepiece(
    tmp_path: Path, sentencepiece_model: Path, text: str
) -> None:
    write_vocabulary(read_sentencepiece_model(sentencepiece_model), tmp_path)
    library = Library.from_file(str(tmp_path / "tokenizer.json"))
    original = SentencePieceProcessor(model_file=str(sentencepiece_model))
    plain = text.replace("<|user|>", "").replace("<|im_end|>", "")
    assert library.encode(plain).ids == [1, *original.encode(plain)]
    assert library.decode(library.encode(plain).ids) == plain


def test_a_directory_made_from_sentencepiece_reads_back(
    tmp_path: Path, sentencepiece_model: Path
) -> None:
    original = read_vocabulary(tmp_path)
    write_vocabulary(original, tmp_path)
    read = read_vocabulary(tmp_path)
    assert replace(read, scores=()) == replace(original, scores=())
    first = (tmp_path / "tokenizer.json").read_bytes()
    write_vocabulary(read, tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == first


@pytest.mark.parametrize("text", TEXTS)
def test_a_sentencepiece_vocabulary_in_t_is_split_as_sentencepiece_does(
    tmp_path: Path, sentencepiece_model: Path, text: str
) -> None:
    tokenizer = read_sentencepiece_model(sentencepiece_model)
    write_tokenizer(tokenizer, tmp_path / "a.t")
    order = vocabulary_order(tokenizer).tolist()
    found = [order[new] for new in split(read_dllama_tokenizer(tmp_path / "a.t"), " " + text)]
    library = SentencePieceProcessor(model_file=str(sentencepiece_model))
    assert found == library.encode(text)


def test_pieces_added_to_a_sentencepiece_file_are_read_with_it(
    tmp_path: Path, sentencepiece_model: Path
) -> None:
    added = {"420": {"content": "<|im_end|>", "special": True}, "422": {"content": "<think>"}}
    put(tmp_path, "tokenizer_config.json", {"added_tokens_decoder": added})
    put(tmp_path, "config.json", {"vocab_size": 424, "eos_token_id": [2, 420]})
    read = read_vocabulary(tmp_path)
    assert read.pieces[420:] == ("<|im_end|>", "[PAD421]", "<think>", "[PAD423]")
    unused = PieceType.UNUSED
    assert read.types[420:] == (PieceType.CONTROL, unused, PieceType.USER_DEFINED, unused)
    assert (read.eos_ids, read.add_bos, read.add_space) == ((2, 420), True, "always")


def test_ends_come_from_all_files_that_name_them(tmp_path: Path) -> None:
    smollm2(tmp_path)
    put(tmp_path, "generation_config.json", {"eos_token_id": [0, 2]})
    put(tmp_path, "config.json", {"eos_token_id": 3, "vocab_size": 450})
    assert read_vocabulary(tmp_path).eos_ids == (2, 0, 3)


@pytest.mark.parametrize(
    ("settings", "own", "template"),
    [
        ({"chat_template": "one"}, None, "one"),
        ({"chat_template": "one"}, "two", "two"),  # as transformers takes it
        (
            {
                "chat_template": [
                    {"name": "tools", "template": "a"},
                    {"name": "default", "template": "b"},
                ]
            },
            None,
            "b",
        ),
        ({"chat_template": None}, "from a file of its own", "from a file of its own"),
    ],
)
def test_the_chat_template_stands_in_the_settings_or_in_a_file(
    tmp_path: Path, settings: dict[str, object], own: str | None, template: str
) -> None:
    if own is not None:
        (tmp_path / "chat_template.jinja").write_text(own)
    assert read_vocabulary(smollm2(tmp_path, **settings)).chat_template == template


def test_merges_of_old_files_are_texts_with_a_space(tmp_path: Path) -> None:
    smollm2(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    put(tmp_path, "tokenizer.json", content)
    assert read_vocabulary(tmp_path).merges == byte_level().merges


def test_an_unknown_way_of_cutting_words_is_kept_from_the_library(tmp_path: Path) -> None:
    smollm2(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["pre_tokenizer"]["pretokenizers"][0] = {"type": "Punctuation", "behavior": "Isolated"}
    put(tmp_path, "tokenizer.json", content)
    read = read_vocabulary(tmp_path)
    assert read.pre_tokenizer is None
    with pytest.raises(HerdError, match="in an unknown way"):
        write_vocabulary(read, tmp_path)


def changed(folder: Path, place: tuple[str, ...], value: object) -> None:
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    put(folder, "tokenizer.json", content)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("model", "type"), "WordPiece", "kind WordPiece; it must be BPE"),
        (("model", "type"), "Unigram", "kind Unigram; it must be BPE"),
        (("pre_tokenizer",), None, "with neither bytes"),
        (("model", "merges"), [["a", "nowhere"]], "merges 'a' and 'nowhere', but"),
        (("model", "merges"), [[1]], r"`model\.merges\.0\.0` in an unsupported form"),
        (("model", "vocab"), {"a": 7, "b": 7}, "numbers its tokens wrongly"),
        (("model", "vocab"), {"a": -1}, "numbers its tokens wrongly"),
        (("model",), [], "`model` in an unsupported form"),
    ],
)
def test_a_tokenizer_json_that_cannot_be_used_is_refused(
    tmp_path: Path, place: tuple[str, ...], value: object, words: str
) -> None:
    changed(smollm2(tmp_path), place, value)
    with pytest.raises(HerdError, match=words) as told:
        read_vocabulary(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer_config.json", {"eos_token": "<|never|>"}, "'<|never|>' in its settings"),
        ("config.json", {"vocab_size": 400}, "400 rows in its embedding and 450 tokens"),
        ("config.json", {"eos_token_id": 450}, "names 450 as the end of a text"),
        (
            "generation_config.json",
            {"eos_token_id": "two"},
            "`eos_token_id` in an unsupported form",
        ),
    ],
)
def test_settings_that_do_not_fit_the_vocabulary_are_refused(
    tmp_path: Path, name: str, content: object, words: str
) -> None:
    put(smollm2(tmp_path), name, content)
    with pytest.raises(HerdError, match=words.replace("|", r"\|")):
        read_vocabulary(tmp_path)


def test_a_directory_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="needs a vocabulary: put"):
        read_vocabulary(tmp_path)


def test_a_damaged_or_unigram_sentencepiece_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    with pytest.raises(HerdError, match="is not a sentencepiece vocabulary"):
        read_vocabulary(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(trained_sentencepiece("unigram", 350))
    with pytest.raises(HerdError, match="kind Unigram; it must be BPE"):
        read_vocabulary(tmp_path)


def test_a_piece_that_stands_twice_cannot_be_written(tmp_path: Path) -> None:
    tokenizer = byte_level()
    pieces = (*tokenizer.pieces[:-1], tokenizer.pieces[-2])
    with pytest.raises(HerdError, match="twice; tokenizer"):
        write_vocabulary(replace(tokenizer, pieces=pieces), tmp_path)


def test_special_pieces_of_llama_3_are_found_though_the_model_does_not_hold_them(
    tmp_path: Path,
) -> None:
    """They are only among the added ones, above all others, and a template puts the first."""
    letters = [byte_letters(bytes([byte])) for byte in range(256)]
    library = Library(
        models.BPE({letter: n for n, letter in enumerate(letters)}, [], ignore_merges=True)
    )
    write_vocabulary(replace(byte_level(), pre_tokenizer="llama-bpe", add_bos=True), tmp_path)
    library.pre_tokenizer = Library.from_file(str(tmp_path / "tokenizer.json")).pre_tokenizer
    library.add_special_tokens([AddedToken("<|begin_of_text|>"), AddedToken("<|eot_id|>")])
    library.post_processor = template("<|begin_of_text|>", 256)
    library.save(str(tmp_path / "tokenizer.json"))
    named = {"bos_token": {"content": "<|begin_of_text|>"}, "eos_token": "<|eot_id|>"}
    put(tmp_path, "tokenizer_config.json", named)
    (tmp_path / "generation_config.json").unlink()
    read = read_vocabulary(tmp_path)
    assert (read.bos_id, read.eos_ids, read.add_bos) == (256, (257,), True)
    assert read.pre_tokenizer == "llama-bpe"
    assert vocabulary_order(read).tolist() == list(range(258))


def template(bos: str, number: int) -> TemplateProcessing:
    return TemplateProcessing(
        single=[bos, "$A"], pair=[bos, "$A", "$B"], special_tokens=[(bos, number)]
    )
