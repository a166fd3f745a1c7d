"""A vocabulary keeps its meaning in `.t` and GGUF files, of whichever kind it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from core.errors import HerdError
from models.formats.dllama.vocabulary_reader import (
    read_dllama_tokenizer,
    read_vocabulary,
)
from models.formats.dllama.vocabulary_writer import vocabulary_order, write_tokenizer
from models.formats.gguf.vocabulary import add_vocabulary
from models.formats.gguf.vocabulary import read_vocabulary as read_gguf_vocabulary
from models.synthetic import synthetic_tokenizer
from models.tokenizer import NEVER, PieceType, Tokenizer, byte_letters, merges_of_scores
from tests.doubles.vocabularies import byte_level, split, trained_byte_level

SENTENCES = (
    "Once upon a time there was a little girl named Lily.",
    " She loved to play outside.",
    "The thunder and the girl",
)


def through_gguf(tokenizer: Tokenizer, path: Path) -> Tokenizer:
    writer = GGUFWriter(path, "llama")
    add_vocabulary(writer, tokenizer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fields = GGUFReader(path).fields

    def value(key: str) -> object:
        return fields[key].contents() if key in fields else None

    return read_gguf_vocabulary(value, path)


def with_piece(tokenizer: Tokenizer, index: int, text: str) -> Tokenizer:
    pieces = list(tokenizer.pieces)
    pieces[index] = text
    return replace(tokenizer, pieces=tuple(pieces))


@pytest.mark.parametrize("tokenizer", [synthetic_tokenizer(512), byte_level()])
def test_a_vocabulary_comes_back_from_gguf_as_it_went(tmp_path: Path, tokenizer: Tokenizer) -> None:
    assert through_gguf(tokenizer, tmp_path / "a.gguf") == tokenizer


def test_llama_3_begins_a_text_with_bos_though_its_gguf_does_not_say_so(tmp_path: Path) -> None:
    def value(key: str) -> object:
        return {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "llama-bpe",
            "tokenizer.ggml.tokens": ["a", "b", "ab", "<|begin_of_text|>"],
            "tokenizer.ggml.token_type": [1, 1, 1, 3],
            "tokenizer.ggml.merges": ["a b"],
            "tokenizer.ggml.bos_token_id": 3,
        }.get(key)

    read = read_gguf_vocabulary(value, tmp_path)
    assert (read.add_bos, read.bos_id, read.eos_ids, read.unknown_id) == (True, 3, (), None)
    assert read.scores == (NEVER, NEVER, 0.0, NEVER)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model", "bert", "kind `bert`; it must be"),
        ("merges", None, "has no merges"),
        ("merges", ["a b c"], "'a b c'; it must be two tokens"),
        ("token_type", [1, 1], "does not give the type of each token"),
        ("token_type", [1, 1, 1, 9], "unknown type"),
        ("bos_token_id", 4, "names 4 for `bos`"),
    ],
)
def test_a_vocabulary_that_gguf_states_wrongly_is_refused(
    tmp_path: Path, key: str, value: object, words: str
) -> None:
    stated: dict[str, object] = {
        "model": "gpt2",
        "tokens": ["a", "b", "ab", "<s>"],
        "token_type": [1, 1, 1, 3],
        "merges": ["a b"],
        "bos_token_id": 3,
    }
    stated[key] = value
    with pytest.raises(HerdError, match=words):
        read_gguf_vocabulary(
            lambda name: stated.get(name.removeprefix("tokenizer.ggml.")), tmp_path
        )


def test_an_unknown_way_of_cutting_words_is_refused_for_gguf(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="does not define how text is split into words"):
        through_gguf(replace(byte_level(), pre_tokenizer=None), tmp_path / "a.gguf")


def test_ordinary_pieces_come_first_then_bos_then_the_other_special_ones() -> None:
    llama2 = vocabulary_order(synthetic_tokenizer(512)).tolist()
    assert llama2 == [0, *range(3, 512), 1, 2]
    smollm2 = vocabulary_order(byte_level()).tolist()
    assert smollm2 == [*range(4, 450), 1, 0, 2, 3]


def test_a_vocabulary_that_has_its_special_pieces_at_the_end_keeps_its_order() -> None:
    tokenizer = byte_level()
    order = vocabulary_order(tokenizer).tolist()
    llama3 = replace(
        tokenizer,
        pieces=tuple(tokenizer.pieces[old] for old in order),
        types=tuple(tokenizer.types[old] for old in order),
        bos_id=446,
        eos_ids=(448, 447),
    )
    assert vocabulary_order(llama3).tolist() == list(range(450))
    assert vocabulary_order(replace(llama3, bos_id=None)).tolist() == list(range(450))


def test_unused_pieces_are_no_special_ones_and_never_merged(tmp_path: Path) -> None:
    tokenizer = byte_level()
    padded = replace(
        tokenizer,
        pieces=(*tokenizer.pieces, "[PAD450]"),
        scores=(*tokenizer.scores, 0.0),
        types=(*tokenizer.types, PieceType.UNUSED),
    )
    write_tokenizer(padded, tmp_path / "a.t")
    read = read_dllama_tokenizer(tmp_path / "a.t")
    assert (read.pieces[446], read.scores[446]) == (b"[PAD450]", NEVER)
    assert read.bos_id == 447


@pytest.mark.parametrize("tokenizer", [synthetic_tokenizer(512), byte_level()])
def test_a_t_file_holds_the_special_pieces_last(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_tokenizer(tokenizer, tmp_path / "a.t")
    read = read_dllama_tokenizer(tmp_path / "a.t")
    order = vocabulary_order(tokenizer).tolist()
    assert order[read.bos_id] == tokenizer.bos_id
    assert {order[end] for end in read.eos_ids} == set(tokenizer.eos_ids)
    assert read.add_bos == tokenizer.add_bos
    assert read.chat_template == tokenizer.chat_template
    assert [piece.decode() for piece in read.pieces[read.bos_id :]] == [
        tokenizer.pieces[old] for old in order[read.bos_id :]
    ]


def test_the_end_of_a_turn_comes_first_for_the_engine_s_chat(tmp_path: Path) -> None:
    write_tokenizer(byte_level(), tmp_path / "a.t")
    read = read_dllama_tokenizer(tmp_path / "a.t")
    assert [read.pieces[end] for end in read.eos_ids] == [b"<|im_end|>", b"<|endoftext|>"]


@pytest.mark.parametrize("tokenizer", [synthetic_tokenizer(512), byte_level()])
def test_every_byte_but_nul_can_be_prompted(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_tokenizer(tokenizer, tmp_path / "a.t")
    read = read_dllama_tokenizer(tmp_path / "a.t")
    ordinary = set(read.pieces[: read.bos_id])
    assert {bytes([byte]) for byte in range(1, 256)} <= ordinary
    assert len(ordinary) == read.bos_id  # the engine searches by text: none may occur twice
    assert not any(b"\0" in piece for piece in read.pieces)


def test_a_byte_piece_never_wins_a_merge(tmp_path: Path) -> None:
    write_tokenizer(synthetic_tokenizer(512), tmp_path / "a.t")
    read = read_dllama_tokenizer(tmp_path / "a.t")
    byte_scores = [s for p, s in zip(read.pieces, read.scores, strict=True) if p[:3] == b"<0x"]
    assert max(byte_scores) < -1e29
    assert read.scores[read.pieces.index(b"\n")] < -1e29
    assert read.scores[read.pieces.index(b"a")] > -1e6


@pytest.mark.parametrize("sentence", SENTENCES)
def test_merging_by_score_splits_words_as_the_library_does(tmp_path: Path, sentence: str) -> None:
    tokenizer = byte_level()
    write_tokenizer(tokenizer, tmp_path / "a.t")
    order = vocabulary_order(tokenizer).tolist()
    found = [order[new] for new in split(read_dllama_tokenizer(tmp_path / "a.t"), sentence)]
    assert found == trained_byte_level().encode(sentence).ids


def test_digits_of_llama_3_are_merged_by_threes_from_the_left(tmp_path: Path) -> None:
    tokenizer = byte_level()
    added = ("97", "19", "77", "831", "197", "83")
    llama3 = replace(
        tokenizer,
        pieces=(*tokenizer.pieces, *added),
        scores=(*tokenizer.scores, -500.0, -600.0, -450.0, -700.0, -650.0, -620.0),
        types=(*tokenizer.types, *[PieceType.NORMAL] * len(added)),
        pre_tokenizer="llama-bpe",
    )
    write_tokenizer(llama3, tmp_path / "a.t")
    stored = read_dllama_tokenizer(tmp_path / "a.t")
    found = [stored.pieces[index] for index in split(stored, "1977 83183")]
    assert found == [b"197", b"7", b" ", b"831", b"83"]


def test_a_vocabulary_of_llama_2_comes_back_from_t_in_its_own_order(tmp_path: Path) -> None:
    tokenizer = synthetic_tokenizer(512)
    write_tokenizer(tokenizer, tmp_path / "a.t")
    read = read_vocabulary(tmp_path / "a.t")
    assert read.tokenizer.pieces == tokenizer.pieces
    assert read.tokenizer.types == tokenizer.types
    assert read.tokenizer.scores[259:] == tokenizer.scores[259:]
    assert (read.tokenizer.bos_id, read.tokenizer.eos_ids) == (1, (2,))
    assert np.array_equal(read.order, vocabulary_order(tokenizer))


def test_characters_of_several_bytes_come_back_from_t_in_their_places(tmp_path: Path) -> None:
    """They stand behind bos in the file, or the engine would make of bytes what none is made of."""
    plain = synthetic_tokenizer(512)
    tokenizer = with_piece(with_piece(plain, 505, "“"), 300, "é")
    scores = [-1e9 if index == 400 else score for index, score in enumerate(tokenizer.scores)]
    tokenizer = replace(tokenizer, scores=tuple(scores))
    assert vocabulary_order(tokenizer).tolist()[508:] == [1, 2, 300, 505]
    write_tokenizer(tokenizer, tmp_path / "a.t")
    stored = read_dllama_tokenizer(tmp_path / "a.t")
    assert split(stored, "é“") == [510, 511]
    read = read_vocabulary(tmp_path / "a.t")
    assert (read.tokenizer.pieces, read.tokenizer.types) == (tokenizer.pieces, tokenizer.types)
    assert np.array_equal(read.order, vocabulary_order(tokenizer))


def test_a_byte_level_vocabulary_comes_back_from_t_in_the_order_of_the_file(tmp_path: Path) -> None:
    tokenizer = byte_level()
    write_tokenizer(tokenizer, tmp_path / "a.t")
    read = read_vocabulary(tmp_path / "a.t")
    order = vocabulary_order(tokenizer).tolist()
    assert read.order.tolist() == list(range(450))
    assert read.tokenizer.pieces == tuple(tokenizer.pieces[old] for old in order)
    assert vocabulary_order(read.tokenizer).tolist() == list(range(450))
    assert (read.tokenizer.kind, read.tokenizer.pre_tokenizer) == ("byte-level", "smollm")
    assert set(tokenizer.merges) <= set(read.tokenizer.merges)
    write_tokenizer(read.tokenizer, tmp_path / "b.t")
    assert (tmp_path / "b.t").read_bytes() == (tmp_path / "a.t").read_bytes()


def test_a_file_in_llama_2_s_own_order_is_read_as_it_is(tmp_path: Path) -> None:
    """So write converters that do not reorder; a piece of a byte may then stand there twice."""
    tokenizer = synthetic_tokenizer(512)
    naive = replace(tokenizer, types=(*tokenizer.types[:1], *[PieceType.NORMAL] * 511))
    path = tmp_path / "a.t"
    write_tokenizer(naive, path)
    texts = [b"<unk>", b"<s>", b"</s>", *(bytes([byte]) for byte in range(256))]
    texts += [tokenizer.piece_bytes(index) for index in range(259, 512)]
    header = [0x567124, 8 + 8 * 6, 0, 1, 1, 512, 2, 9, 3, 1, 9, 1, 10, 1, 2]
    content = np.array(header, dtype="<i4").tobytes()
    for text, score in zip(texts, tokenizer.scores, strict=True):
        content += (
            np.array([score], "<f4").tobytes() + np.array([len(text)], "<u4").tobytes() + text
        )
    path.write_bytes(content)
    read = read_vocabulary(path)
    assert read.tokenizer == tokenizer
    assert read.order.tolist() == list(range(512))


def test_merges_made_of_scores_are_all_pairs_that_spell_a_piece() -> None:
    pieces = ("a", "b", "c", "ab", "bc", "abc", "<s>")
    scores = (NEVER, NEVER, NEVER, -1.0, -2.0, -0.5, 0.0)
    types = (PieceType.NORMAL,) * 6 + (PieceType.CONTROL,)
    tokenizer = Tokenizer(pieces, scores, types)
    merges = [("a", "bc"), ("ab", "c"), ("a", "b"), ("b", "c")]
    assert list(merges_of_scores(tokenizer)) == merges


def test_bytes_are_spelled_with_the_letters_of_gpt_2() -> None:
    assert byte_letters(b" the\n\x00") == "ĠtheĊĀ"
    assert byte_letters("é".encode()) == "Ã©"


@pytest.mark.parametrize(
    ("index", "text", "words"),
    [
        (300, "Ġthe", "twice; distributed-llama cannot distinguish them"),
        (3, "<|im_end|>", "twice; distributed-llama cannot distinguish them"),
        (3, "<\0>", "contains a NUL"),
        (3, "", "with an empty text"),
    ],
)
def test_what_the_engine_could_not_tell_apart_or_hold_is_refused(
    tmp_path: Path, index: int, text: str, words: str
) -> None:
    with pytest.raises(HerdError, match=words):
        write_tokenizer(with_piece(byte_level(), index, text), tmp_path / "a.t")


def test_a_vocabulary_without_any_special_piece_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(("a", "b"), (0.0, 0.0), (PieceType.NORMAL,) * 2, None, None, ())
    with pytest.raises(HerdError, match="has no special token"):
        write_tokenizer(tokenizer, tmp_path / "a.t")


@pytest.mark.parametrize("missing", [3, 2000])
def test_a_cut_vocabulary_is_refused(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "a.t"
    write_tokenizer(synthetic_tokenizer(512), path)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(HerdError, match="truncated"):
        read_vocabulary(path)


def test_other_files_are_no_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "a.t").write_text("<html>not found</html>")
    with pytest.raises(HerdError, match="is not a distributed-llama vocabulary"):
        read_vocabulary(tmp_path / "a.t")
    (tmp_path / "old.t").write_bytes(np.array([0x567123, 0, 0], dtype="<i4").tobytes())
    with pytest.raises(HerdError, match="before version"):
        read_vocabulary(tmp_path / "old.t")


def test_a_piece_that_spells_no_bytes_cannot_be_written_as_t(tmp_path: Path) -> None:
    odd = with_piece(byte_level(), 400, "not bytes")
    with pytest.raises(HerdError, match="'not bytes' has the letter ' ', which represents no byte"):
        write_tokenizer(odd, tmp_path / "a.t")
