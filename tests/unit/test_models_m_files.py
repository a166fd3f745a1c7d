"""What a `.m` or `.t` file states is believed only as far as the file itself goes."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from core.errors import HerdError
from models.formats.dllama import model as dllama
from models.formats.dllama.header import FLOAT_TYPES
from models.formats.dllama.vocabulary_reader import read_vocabulary
from models.formats.dllama.vocabulary_writer import write_tokenizer
from tests.doubles.random_models import LLAMA, LLAMA31, QWEN3, random_model
from tests.doubles.vocabularies import byte_level

MODEL, TOKENIZER = 0x0A00ABCD, 0x567124
PAIRS = {0: 0, 1: 0xABCD00, 2: 32, 3: 32, 4: 1, 5: 2, 6: 1, 9: 512, 10: 32, 11: 1, 13: 0}
"""Version, architecture, dim, hidden, layers, heads, KV heads, vocab, context, act, weights."""


def file_of(magic: int, pairs: dict[int, int], rest: bytes = b"") -> bytes:
    numbers = [magic, 8 + 8 * len(pairs), *(number for pair in pairs.items() for number in pair)]
    return struct.pack(f"<{len(numbers)}i", *numbers) + rest


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({4: 2**31 - 1}, "layers: Input should be less than or equal to 4096"),
        ({4: 4096}, "but its header requires"),
        ({9: 2**31 - 1}, "vocab: Input should be less than or equal to"),
        ({2: 2**31 - 32, 19: 16}, "but its header requires"),
        ({2: -32}, "dim: Input should be greater than 0"),
        ({19: 2**31 - 2}, "head_dim: Input should be less than or equal to"),
        ({13: 1}, "weights of type F16"),
        ({13: 3}, "weights of type Q80"),
        ({13: 77}, "weights of type number 77"),
        ({22: 1}, "header key 22"),
        ({0: 3}, "version 3, but this project supports only 0"),
        ({11: 0}, "activation 0, but this project supports only 1"),
        ({18: 1}, "rope_type 1, but this project supports only 0 or 2"),
        ({21: 64}, "expert_hidden_dim 64, but this project supports only 0"),
        ({7: 8}, "without experts"),
        ({1: 0xABCD01, 14: 8}, "rope_factor 8, but this project supports only 1"),
        ({2: 40, 13: 2}, r"dim \(40\) is not a multiple of 32"),
    ],
)
def test_a_header_of_m_that_is_not_to_be_believed_is_refused_at_once(
    tmp_path: Path, pairs: dict[int, int], words: str
) -> None:
    path = tmp_path / "a.m"
    path.write_bytes(file_of(MODEL, PAIRS | pairs, bytes(300)))
    begin = time.process_time()
    with pytest.raises(HerdError, match=words):
        dllama.read_header(path)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize("header_bytes", [-8, 0, 7, 12, 2**31 - 1])
def test_a_header_that_cannot_be_so_long_is_damage(tmp_path: Path, header_bytes: int) -> None:
    for name, magic, read in (
        ("a.m", MODEL, dllama.read_header),
        ("a.t", TOKENIZER, read_vocabulary),
    ):
        (tmp_path / name).write_bytes(struct.pack("<2i", magic, header_bytes) + bytes(64))
        with pytest.raises(HerdError, match="header cannot be"):
            read(tmp_path / name)


def test_the_size_follows_from_the_shape_without_counting_layers(tmp_path: Path) -> None:
    for shape in (LLAMA, LLAMA31, QWEN3):
        for weights in FLOAT_TYPES:
            dllama.write_model(random_model(shape), tmp_path / "a.m", weights)
            size_bytes = (tmp_path / "a.m").stat().st_size
            assert size_bytes == dllama.expected_size_bytes(shape, weights)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({1: 2**31 - 1}, "vocab cannot be 2147483647"),
        ({1: -1}, "vocab cannot be -1"),
        ({7: -1}, "chat_template_bytes cannot be -1"),
        ({9: 2**31 - 1}, "eos_count cannot be"),
        ({1: 60}, "truncated or damaged"),
        ({11: 1}, "header key 11"),
        ({0: 0}, "vocabulary of version 0; .* reads version 1"),
    ],
)
def test_a_header_of_t_that_is_not_to_be_believed_is_refused_at_once(
    tmp_path: Path, pairs: dict[int, int], words: str
) -> None:
    path = tmp_path / "a.t"
    path.write_bytes(file_of(TOKENIZER, {0: 1, 1: 1, 2: 1, 3: 0} | pairs, bytes(300)))
    begin = time.process_time()
    with pytest.raises(HerdError, match=words):
        read_vocabulary(path)
    assert time.process_time() - begin < 1


def test_what_a_t_file_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.t").write_bytes(file_of(TOKENIZER, {0: 1, 1: 0}))
    with pytest.raises(HerdError, match="does not give its bos"):
        read_vocabulary(tmp_path / "a.t")


def test_text_that_is_no_utf_8_is_told_with_the_file(tmp_path: Path) -> None:
    write_tokenizer(byte_level(), tmp_path / "a.t")
    whole = (tmp_path / "a.t").read_bytes()
    for before, after, words in (
        (b"<|im_end|>", b"<|im_\xffnd|>", "has a token that is not valid UTF-8"),
        (b"{% for", b"{\xff for", "chat template that is not valid UTF-8"),
    ):
        first, found, last = whole.rpartition(before)
        assert found
        (tmp_path / "b.t").write_bytes(first + after + last)
        with pytest.raises(HerdError, match=words):
            read_vocabulary(tmp_path / "b.t")


def test_a_piece_too_long_to_look_for_its_merges_is_refused_at_once(tmp_path: Path) -> None:
    texts = [*(bytes([byte]) for byte in range(97, 123)), b"a" * 300_000, b"<s>", b"</s>"]
    pairs = {0: 1, 1: len(texts), 2: 300_000, 3: len(texts) - 2, 9: 1, 10: 1}
    rest = struct.pack("<i", len(texts) - 1)
    rest += b"".join(struct.pack("<fI", -1.0, len(text)) + text for text in texts)
    (tmp_path / "a.t").write_bytes(file_of(TOKENIZER, pairs, rest))
    begin = time.process_time()
    with pytest.raises(HerdError, match=r"a token of 300000 characters .* the limit is 512"):
        read_vocabulary(tmp_path / "a.t")
    assert time.process_time() - begin < 1


def test_a_score_that_is_no_number_is_refused(tmp_path: Path) -> None:
    texts = [b"a", b"b", b"ab", b"<s>", b"</s>"]
    pairs = {0: 1, 1: len(texts), 2: 4, 3: 3, 9: 1, 10: 1}
    rest = struct.pack("<i", 4)
    rest += b"".join(struct.pack("<fI", float("nan"), len(text)) + text for text in texts)
    (tmp_path / "a.t").write_bytes(file_of(TOKENIZER, pairs, rest))
    with pytest.raises(HerdError, match="gives token 0 the score nan"):
        read_vocabulary(tmp_path / "a.t")
