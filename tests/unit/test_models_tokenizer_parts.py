"""Each part of a tokenizer in a Hugging Face directory is used, harmless, or refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]
from tokenizers import Tokenizer as Library

from core.errors import HerdError
from models.convert import convert, write_folder
from models.formats.dllama.vocabulary_reader import read_dllama_tokenizer
from models.formats.dllama.vocabulary_reader import read_vocabulary as read_t
from models.formats.dllama.vocabulary_writer import vocabulary_order, write_tokenizer
from models.formats.huggingface.sentencepiece_model import read_sentencepiece_model
from models.formats.huggingface.vocabulary_reader import read_vocabulary
from models.formats.huggingface.vocabulary_writer import write_vocabulary
from models.synthetic import synthetic_checkpoint, synthetic_tokenizer
from models.tokenizer import PieceType
from tests.doubles.random_models import LLAMA
from tests.doubles.vocabularies import (
    SPECIAL,
    byte_level,
    trained_byte_level,
    trained_sentencepiece,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "\u2581"
METASPACE: dict[str, object] = {
    "type": "Metaspace",
    "replacement": MARK,
    "prepend_scheme": "first",
    "split": False,
}


def put(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def bytes_folder(folder: Path, **parts: object) -> Path:
    """A byte-level vocabulary of SmolLM2's kind, some parts of its file otherwise."""
    content = json.loads(trained_byte_level().to_str()) | parts
    put(folder, "tokenizer.json", content)
    put(folder, "tokenizer_config.json", {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2]})
    return folder


def pieces_folder(folder: Path, **parts: object) -> Path:
    """A sentencepiece-like vocabulary as LLaMA 2's fast one has it."""
    write_vocabulary(synthetic_tokenizer(512), folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    put(folder, "tokenizer.json", content | parts)
    return folder


def model_folder(folder: Path, change: Callable[[ModelProto], None] = lambda _: None) -> Path:
    """A `tokenizer.model`."""
    model = ModelProto()
    model.ParseFromString(trained_sentencepiece())
    change(model)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    return folder


def template(*steps: object) -> dict[str, object]:
    tokens = {
        name: {"id": name, "ids": [n], "tokens": [name]} for n, name in ((1, "<s>"), (2, "</s>"))
    }
    return {
        "type": "TemplateProcessing",
        "single": list(steps),
        "pair": [],
        "special_tokens": tokens,
    }


TEXT_OF = {"Sequence": {"id": "A", "type_id": 0}}
BOS = {"SpecialToken": {"id": "<s>", "type_id": 0}}
EOS = {"SpecialToken": {"id": "</s>", "type_id": 0}}
NUL = {"type": "Sequence", "normalizers": []}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "the normalizer Lowercase"),
        ({"normalizer": {"type": "NFKC"}}, "the normalizer NFKC"),
        (
            {
                "normalizer": {
                    "type": "Sequence",
                    "normalizers": [{"type": "NFC"}, {"type": "StripAccents"}],
                }
            },
            "the normalizer StripAccents",
        ),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "add_prefix_space"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "add_prefix_space"),
        ({"decoder": {"type": "WordPiece"}}, "the decoder WordPiece"),
        ({"post_processor": {"type": "BertProcessing", "sep": ["a", 1]}}, "BertProcessing"),
        ({"something_new": 1}, "the setting `something_new`"),
    ],
)
def test_a_part_of_a_byte_level_file_that_cannot_be_said_is_refused_by_its_name(
    tmp_path: Path, parts: dict[str, object], words: str
) -> None:
    with pytest.raises(HerdError, match=words):
        read_vocabulary(bytes_folder(tmp_path, **parts))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"normalizer": {"type": "NFC"}}, "the normalizer NFC"),
        ({"normalizer": None}, "does not mark the spaces"),
        (
            {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "b"}},
            "the normalizer Replace",
        ),
        ({"normalizer": {"type": "Prepend", "prepend": "_"}}, "the normalizer Prepend"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "the pre_tokenizer Whitespace"),
        (
            {"normalizer": None, "pre_tokenizer": METASPACE | {"replacement": "_"}},
            "the pre_tokenizer Metaspace",
        ),
        ({"decoder": {"type": "BPEDecoder", "suffix": "</w>"}}, "the decoder BPEDecoder"),
        ({"decoder": {"type": "Metaspace", "replacement": "_"}}, "the decoder Metaspace"),
        ({"decoder": {"type": "Fuse"}}, "decodes by Fuse; it must be Replace, ByteFallback"),
        ({"decoder": {"type": "Sequence", "decoders": []}}, "decodes by nothing"),
        (
            {"decoder": {"type": "Strip", "content": " ", "start": 2, "stop": 0}},
            "the decoder Strip .*start 2",
        ),
        ({"post_processor": template(BOS, TEXT_OF, EOS)}, "the post_processor Template"),
        ({"post_processor": template(TEXT_OF, EOS)}, "the post_processor Template"),
        ({"post_processor": template(EOS, TEXT_OF)}, "puts '</s>' .number 2. before every text"),
    ],
)
def test_a_part_of_a_sentencepiece_like_file_that_cannot_be_said_is_refused_by_its_name(
    tmp_path: Path, parts: dict[str, object], words: str
) -> None:
    with pytest.raises(HerdError, match=words):
        read_vocabulary(pieces_folder(tmp_path, **parts))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dropout": 0.1}, r"merges with `model\.dropout`"),
        ({"continuing_subword_prefix": "##"}, "continuing_subword_prefix"),
        ({"end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
        ({"ignore_merges": True}, "ignore_merges"),
        ({"something_new": 1}, "the setting `something_new`"),
    ],
)
def test_merging_in_another_way_is_refused(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    content = json.loads((pieces_folder(tmp_path) / "tokenizer.json").read_text(encoding="utf-8"))
    put(tmp_path, "tokenizer.json", content | {"model": content["model"] | change})
    with pytest.raises(HerdError, match=words):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_a_piece_that_is_found_otherwise_than_by_its_text_is_refused(
    tmp_path: Path, flag: str
) -> None:
    piece = {"id": 0, "content": SPECIAL[0], "special": True, flag: True}
    bytes_folder(tmp_path, added_tokens=[piece])
    with pytest.raises(HerdError, match=rf"the token '<\|endoftext\|>' with the flag `{flag}`"):
        read_vocabulary(tmp_path)
    bytes_folder(tmp_path)
    put(tmp_path, "special_tokens_map.json", {"eos_token": {"content": SPECIAL[2], flag: True}})
    with pytest.raises(HerdError, match=f"with the flag `{flag}`"):
        read_vocabulary(tmp_path)


def test_parts_that_change_nothing_are_no_reason_to_refuse(tmp_path: Path) -> None:
    harmless: dict[str, object] = {
        "padding": {"strategy": {"Fixed": 8}, "pad_to_multiple_of": 8, "pad_id": 0},
        "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "normalizer": NUL,
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False},
    }
    read = read_vocabulary(bytes_folder(tmp_path, **harmless))
    assert replace(read, unknown_id=0) == replace(byte_level(), eos_ids=(2,), chat_template=None)
    pieces_folder(tmp_path, decoder=None, post_processor=template(BOS, TEXT_OF))
    assert read_vocabulary(tmp_path).pieces == synthetic_tokenizer(512).pieces


@pytest.mark.parametrize(
    ("pre_tokenizer", "normalizer", "ignore_merges"),
    [
        ("llama-bpe", None, False),
        ("llama-bpe", {"type": "NFC"}, True),
        ("qwen2", None, False),
        ("qwen2", {"type": "NFC"}, True),
        ("smollm", {"type": "NFC"}, False),
    ],
)
def test_a_known_way_with_other_parts_around_it_is_a_way_not_known(
    tmp_path: Path, pre_tokenizer: str, normalizer: object, *, ignore_merges: bool
) -> None:
    write_vocabulary(replace(byte_level(), pre_tokenizer=pre_tokenizer), tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["normalizer"] = normalizer
    content["model"]["ignore_merges"] = ignore_merges
    put(tmp_path, "tokenizer.json", content)
    assert read_vocabulary(tmp_path).pre_tokenizer is None


def test_a_split_that_removes_or_inverts_is_a_way_not_known(tmp_path: Path) -> None:
    write_vocabulary(replace(byte_level(), pre_tokenizer="qwen2"), tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    for change in ({"behavior": "Removed"}, {"invert": True}):
        changed = json.loads(json.dumps(content))
        changed["pre_tokenizer"]["pretokenizers"][0] |= change
        put(tmp_path, "tokenizer.json", changed)
        assert read_vocabulary(tmp_path).pre_tokenizer is None


@pytest.mark.parametrize("text", ["the end", "the</s>the", "<s>the", " two  spaces", ""])
def test_a_space_at_the_beginning_alone_stays_there(tmp_path: Path, text: str) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.mkdir()
    target.mkdir()
    read = read_vocabulary(pieces_folder(source, normalizer=None, pre_tokenizer=METASPACE))
    assert read.add_space == "first"
    write_vocabulary(read, target)
    before, after = (Library.from_file(str(f / "tokenizer.json")) for f in (source, target))
    assert after.encode(text).tokens == before.encode(text).tokens
    assert read_vocabulary(target).add_space == "first"


def test_cutting_at_spaces_matters_where_pieces_span_them(tmp_path: Path) -> None:
    cut = METASPACE | {"split": True}
    pieces_folder(tmp_path, normalizer=None, pre_tokenizer=cut)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    spans = any(MARK in piece[1:] for piece in content["model"]["vocab"])
    assert not spans
    assert read_vocabulary(tmp_path).add_space == "first"
    content["model"]["vocab"][MARK * 2] = 512
    put(tmp_path, "tokenizer.json", content)
    with pytest.raises(HerdError, match=r"at every space before it merges \(`Metaspace.split`\)"):
        read_vocabulary(tmp_path)


def test_the_settings_say_where_a_tokenizer_model_gets_its_space(tmp_path: Path) -> None:
    model_folder(tmp_path)
    for stated, expected in (
        ({}, "always"),
        ({"legacy": True}, "always"),
        ({"legacy": False}, "first"),
        ({"add_prefix_space": False}, "never"),
    ):
        put(tmp_path, "tokenizer_config.json", stated)
        assert read_vocabulary(tmp_path).add_space == expected


def test_what_llama_cpp_does_otherwise_is_told(tmp_path: Path) -> None:
    class Notes:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def note(self, text: str) -> None:
            self.heard.append(text)

        def progress(self, what: str, done_bytes: int, total_bytes: int) -> None:
            pass

    first = replace(synthetic_tokenizer(LLAMA.vocab), add_space="first")
    write_folder(replace(synthetic_checkpoint(LLAMA, 1), tokenizer=first), tmp_path / "a", "f32")
    notes = Notes()
    convert(tmp_path / "a", tmp_path / "b.gguf", "f32", None, notes)
    assert any("none after special tokens; llama.cpp" in note for note in notes.heard)
    quiet = Notes()
    convert(tmp_path / "a", tmp_path / "b.m", "f32", None, quiet)
    assert len(quiet.heard) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda m: setattr(m.normalizer_spec, "precompiled_charsmap", b"x"),
            "by the rule `identity`",
        ),
        (
            lambda m: setattr(m.normalizer_spec, "remove_extra_whitespaces", True),
            "remove_extra_whitespaces",
        ),
        (lambda m: setattr(m.normalizer_spec, "escape_whitespaces", False), "escape_whitespaces"),
        (
            lambda m: setattr(m.trainer_spec, "treat_whitespace_as_suffix", True),
            "treat_whitespace_as_suffix",
        ),
        (lambda m: setattr(m.trainer_spec, "bos_id", 9999), "uses 9999 as the begin"),
        (lambda m: setattr(m.pieces[300], "score", float("nan")), "gives token 300 the score nan"),
        (lambda m: setattr(m.pieces[300], "piece", "a" * 2000), "a token of 2000 characters"),
        (
            lambda m: setattr(m.pieces[20], "piece", "0A"),
            "marks token 20 as a byte but spells it '0A'",
        ),
    ],
)
def test_what_a_tokenizer_model_does_with_a_text_is_asked_about(
    tmp_path: Path, change: Callable[[ModelProto], None], words: str
) -> None:
    with pytest.raises(HerdError, match=words):
        read_vocabulary(model_folder(tmp_path, change))


def test_pieces_that_a_user_defined_are_spelt_as_in_a_text(tmp_path: Path) -> None:
    """As sentencepiece and llama.cpp take them: two spaces, not two marks."""

    def define(model: ModelProto) -> None:
        model.pieces[3].piece = MARK * 2  # the user-defined one
        model.pieces.add(piece=f"{MARK}unused", score=0, type=PieceType.UNUSED)

    tokenizer = read_sentencepiece_model(model_folder(tmp_path, define) / "tokenizer.model")
    assert (tokenizer.types[3], tokenizer.pieces[3]) == (PieceType.USER_DEFINED, "  ")
    assert tokenizer.piece_bytes(420) == b" unused"
    write_tokenizer(tokenizer, tmp_path / "a.t")
    stored = read_dllama_tokenizer(tmp_path / "a.t")
    assert (MARK * 2).encode() not in stored.pieces
    assert stored.pieces[stored.bos_id :].count(b"  ") == 1
    write_vocabulary(tokenizer, tmp_path)
    library = Library.from_file(str(tmp_path / "tokenizer.json"))
    assert 3 in library.encode("a  b").ids
    assert read_vocabulary(tmp_path).pieces[3] == "  "


def test_pieces_of_added_tokens_json_are_special_where_the_settings_name_them(
    tmp_path: Path,
) -> None:
    model_folder(tmp_path)
    put(tmp_path, "added_tokens.json", {"<|im_end|>": 420, "<think>": 421})
    put(tmp_path, "special_tokens_map.json", {"eos_token": "<|im_end|>"})
    put(tmp_path, "config.json", {"vocab_size": 424})
    read = read_vocabulary(tmp_path)
    assert read.pieces[420:] == ("<|im_end|>", "<think>", "[PAD422]", "[PAD423]")
    assert read.types[420:422] == (PieceType.CONTROL, PieceType.USER_DEFINED)
    assert read.eos_ids == (420, 2)


def test_pieces_that_the_settings_list_as_special_are_found_first(tmp_path: Path) -> None:
    bytes_folder(tmp_path)
    ordinary = byte_level().pieces[400]
    put(tmp_path, "special_tokens_map.json", {"additional_special_tokens": [ordinary]})
    assert read_vocabulary(tmp_path).types[400] is PieceType.CONTROL


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("added_tokens.json", {"<a>": 5}, "gives the added token '<a>' the number 5 of"),
        ("added_tokens.json", {"<a>": 2**31}, "but the model has"),
        ("added_tokens.json", {"<a>": -1, "<b>": 450}, "token '<a>' the number -1; numbers"),
        ("added_tokens.json", {"<a>": 450, "<b>": 450}, "two tokens the same number"),
        ("added_tokens.json", {"<a>": "x"}, "in an unsupported form"),
        (
            "added_tokens.json",
            {"<|im_end|>": 449},
            r"gives the added token '<\|im_end\|>' the number 449",
        ),
        ("tokenizer_config.json", {"add_eos_token": True}, "`add_eos_token`"),
        ("tokenizer_config.json", {"add_prefix_space": True}, "`add_prefix_space` True"),
        ("tokenizer_config.json", {"do_lower_case": True}, "the setting `do_lower_case`"),
        ("tokenizer_config.json", {"split_special_tokens": True}, "`split_special_tokens`"),
        ("tokenizer_config.json", {"sp_model_kwargs": {"nbest_size": 2}}, "`sp_model_kwargs`"),
        ("tokenizer_config.json", {"tokenizer_class": "XLNetTokenizer"}, "`XLNetTokenizer`"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": "x.y"}}, "its own program"),
        ("generation_config.json", {"suppress_tokens": [1]}, "the setting `suppress_tokens`"),
        ("generation_config.json", {"forced_bos_token_id": 3}, "`forced_bos_token_id`"),
        ("generation_config.json", {"bad_words_ids": [[1]]}, "`bad_words_ids`"),
        ("special_tokens_map.json", {"eos_token": "<|never|>"}, "'<|never|>' in its settings"),
        ("tokenizer_config.json", {"fix_mistral_regex": True}, "`fix_mistral_regex`"),
    ],
)
def test_settings_beside_a_vocabulary_are_asked_about(
    tmp_path: Path, name: str, content: object, words: str
) -> None:
    bytes_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    put(tmp_path, name, content)
    with pytest.raises(HerdError, match=words.replace("'<|", r"'<\|").replace("|>'", r"\|>'")):
        read_vocabulary(tmp_path)


def test_the_settings_of_published_models_are_understood(tmp_path: Path) -> None:
    bytes_folder(tmp_path)
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    special = {"content": SPECIAL[2], "special": True, **flags}
    settings = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {"2": special},
        "additional_special_tokens": list(SPECIAL[:2]),
        "bos_token": None,
        "clean_up_tokenization_spaces": True,
        "eos_token": {**special, "__type": "AddedToken"},
        "errors": "replace",
        "is_local": True,
        "legacy": False,
        "local_files_only": False,
        "model_specific_special_tokens": {"image_token": SPECIAL[3]},
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": SPECIAL[0],
        "padding_side": "right",
        "sp_model_kwargs": {},
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
        "use_default_system_prompt": False,
        "vocab_size": 49152,
    }
    put(tmp_path, "tokenizer_config.json", settings)
    generation = {
        "_from_model_config": True,
        "bos_token_id": 1,
        "do_sample": True,
        "eos_token_id": [2, 0],
        "max_length": 4096,
        "pad_token_id": 0,
        "repetition_penalty": 1.05,
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "transformers_version": "4.51.0",
    }
    put(tmp_path, "generation_config.json", generation)
    read = read_vocabulary(tmp_path)
    assert (read.eos_ids, read.add_bos, read.pre_tokenizer) == ((2, 0), False, "smollm")


def test_an_empty_name_of_a_piece_names_none(tmp_path: Path) -> None:
    model_folder(tmp_path)
    named = read_vocabulary(tmp_path)
    put(tmp_path, "tokenizer_config.json", {"bos_token": "", "eos_token": "", "unk_token": ""})
    assert read_vocabulary(tmp_path) == named


def test_a_tokenizer_model_is_begun_with_what_the_settings_name(tmp_path: Path) -> None:
    model_folder(tmp_path)
    put(tmp_path, "special_tokens_map.json", dict.fromkeys(["bos_token", "eos_token"], "</s>"))
    read = read_vocabulary(tmp_path)  # as Alpaca has it
    assert (read.bos_id, read.eos_ids, read.add_bos) == (2, (2,), True)


def test_a_template_that_puts_two_pieces_first_is_refused(tmp_path: Path) -> None:
    pieces_folder(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    (template,) = content["post_processor"].get("processors", [content["post_processor"]])
    next(iter(template["special_tokens"].values()))["ids"] = [1, 1]
    put(tmp_path, "tokenizer.json", content)
    with pytest.raises(HerdError, match=r"puts the tokens \[1, 1\] before every text"):
        read_vocabulary(tmp_path)


def test_a_vocabulary_that_spells_not_every_byte_is_refused(tmp_path: Path) -> None:
    pieces_folder(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = content["model"]["vocab"]
    vocab["never"] = vocab.pop("<0xC3>")
    put(tmp_path, "tokenizer.json", content)
    with pytest.raises(
        HerdError,
        match=r"has a vocabulary without byte fallback \(it lacks <0xC3>\)",
    ):
        read_vocabulary(tmp_path)


def test_what_transformers_takes_first_counts_where_settings_differ(tmp_path: Path) -> None:
    bytes_folder(tmp_path)
    put(tmp_path, "special_tokens_map.json", {"eos_token": SPECIAL[0]})
    assert read_vocabulary(tmp_path).eos_ids == (0,)
    newer = {"eos_token": SPECIAL[2], "added_tokens_decoder": {"0": {"content": SPECIAL[0]}}}
    put(tmp_path, "tokenizer_config.json", newer)
    assert read_vocabulary(tmp_path).eos_ids == (2,)


def test_numbers_of_pieces_are_held_against_the_file(tmp_path: Path) -> None:
    bytes_folder(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"] |= {"vocab": {"a": 3_999_999}, "merges": []}
    put(tmp_path, "tokenizer.json", content)
    with pytest.raises(HerdError, match="numbers its tokens wrongly"):
        read_vocabulary(tmp_path)


def test_what_only_the_template_names_begins_a_text(tmp_path: Path) -> None:
    pieces_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    read = read_vocabulary(tmp_path)
    assert (read.bos_id, read.add_bos) == (1, True)


@pytest.mark.parametrize("source", ["scores", "merges"])
def test_llama_2_s_order_comes_back_from_t_whatever_its_vocabulary_was_read_from(
    tmp_path: Path, source: str
) -> None:
    """Runs of spaces are merged last, though numbered first, and characters by no merge at all."""
    plain = synthetic_tokenizer(512).pieces
    words, characters = list(plain[354:]), list(plain[259:354])
    words[0] = MARK * 2
    for place, text in ((40, "é"), (41, "“"), (90, "ㄱ")):
        characters[place] = text
    pieces = [*plain[:259], *words, *characters]
    scores = [*[0.0] * 259, *(-float(number) for number in range(253))]
    scores[259] = -1e9
    tokenizer = replace(synthetic_tokenizer(512), pieces=tuple(pieces), scores=tuple(scores))
    if source == "merges":
        write_vocabulary(tokenizer, tmp_path)
        tokenizer = read_vocabulary(tmp_path)
    assert vocabulary_order(tokenizer).tolist()[507:] == [1, 2, 457, 458, 507]
    write_tokenizer(tokenizer, tmp_path / "a.t")
    read = read_t(tmp_path / "a.t")
    assert read.tokenizer.pieces == tuple(pieces)
    assert read.order.tolist() == vocabulary_order(tokenizer).tolist()
