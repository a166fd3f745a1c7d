"""What a GGUF file says is used, known to be harmless, or refused by its name."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFValueType, GGUFWriter

from core.errors import HerdError
from models.checkpoint import Checkpoint, tensor_shapes
from models.formats.gguf.header import read_header
from models.formats.gguf.reader import read_gguf
from models.formats.gguf.writer import gguf_name, write_gguf
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint
from tests.doubles.random_models import QWEN3, random_model

SHAPE = ModelShape(
    dim=96, hidden_dim=128, layers=2, heads=6, kv_heads=6, head_dim=16, vocab=512, context=64
)
MODEL = synthetic_checkpoint(SHAPE, seed=3)


def write(
    path: Path,
    keys: dict[str, object] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
    model: Checkpoint = MODEL,
) -> Path:
    """The model as GGUF with some keys (None: without it) and tensors otherwise, or more."""
    base = path.with_name("base.gguf")
    write_gguf(model, base, "f32", "base")
    keys, tensors = keys or {}, tensors or {}
    writer = GGUFWriter(path, model.shape.architecture)
    for field in GGUFReader(base).fields.values():
        if field.name not in {*keys, "general.architecture"} and "GGUF." not in field.name:
            sub = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=sub)
    for key, value in keys.items():
        if value is not None:
            sub = GGUFValueType.get_type(value[0]) if isinstance(value, list) else None
            writer.add_key_value(key, value, GGUFValueType.get_type(value), sub_type=sub)
    for name in tensor_shapes(model.shape):
        if gguf_name(name) not in tensors:
            writer.add_tensor(gguf_name(name), model.tensor(name))
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_file_of_these_tests_is_read(tmp_path: Path) -> None:
    assert read_gguf(write(tmp_path / "a.gguf")).shape == SHAPE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.rope.scale_linear", 4.0),
        ("llama.rope.scaling.type", "yarn"),
        ("llama.rope.scaling.factor", 4.0),
        ("llama.rope.scaling.attn_factor", 1.4),
        ("llama.rope.dimension_count", 8),
        ("llama.rope.dimension_sections", [4, 4, 0, 0]),
        ("llama.rope.freq_base_swa", 10_000.0),
        ("llama.attention.value_length", 32),
        ("llama.attention.layer_norm_epsilon", 1e-5),
        ("llama.attention.sliding_window", 32),
        ("llama.attention.scale", 0.5),
        ("llama.attention.clamp_kqv", 8.0),
        ("llama.attention.max_alibi_bias", 8.0),
        ("llama.attention.causal", False),
        ("llama.attn_logit_softcapping", 50.0),
        ("llama.final_logit_softcapping", 30.0),
        ("llama.logit_scale", 0.0625),
        ("llama.residual_scale", 0.22),
        ("llama.embedding_scale", 12.0),
        ("llama.use_parallel_residual", True),
        ("llama.expert_used_count", 2),
        ("llama.expert_weights_norm", True),
        ("llama.pooling_type", 3),
        ("llama.tensor_data_layout", "reference"),
        ("llama.vocab_size", 511),
        ("llama.something_new", 1),
        ("tokenizer.ggml.add_eos_token", True),
        ("tokenizer.ggml.add_sep_token", True),
        ("tokenizer.ggml.remove_extra_whitespaces", True),
        ("tokenizer.ggml.precompiled_charsmap", [1, 2, 3]),
        ("tokenizer.ggml.normalizer.lowercase", True),
        ("tokenizer.rwkv.world", "x"),
        ("adapter.lora.alpha", 16.0),
    ],
)
def test_a_key_that_changes_what_is_computed_is_refused_by_its_name(
    tmp_path: Path, key: str, value: object
) -> None:
    with pytest.raises(
        HerdError,
        match=rf"{key}.* the converted model would compute something else",
    ):
        read_gguf(write(tmp_path / "a.gguf", {key: value}))


def test_keys_that_change_nothing_are_no_reason_to_refuse(tmp_path: Path) -> None:
    harmless: dict[str, object] = {
        "general.name": "mine",
        "general.type": "model",
        "general.url": "https://example.org",
        "general.base_model.0.name": "another",
        "general.sampling.temp": 0.6,
        "general.tags": ["a", "b"],
        "quantize.imatrix.entries_count": 224,
        "mradermacher.quantize_version": "2",
        "split.count": 0,
        "llama.rope.scale_linear": 1.0,
        "llama.rope.scaling.type": "linear",
        "llama.rope.scaling.factor": 1.0,
        "llama.rope.scaling.original_context_length": 64,
        "llama.attention.causal": True,
        "llama.attention.scale": 0.25,
        "llama.attention.sliding_window": 64,
        "llama.attention.head_count_kv": [6, 6],
        "llama.feed_forward_length": [128, 128],
        "llama.expert_count": 0,
        "llama.expert_feed_forward_length": 0,
        "llama.use_parallel_residual": False,
        "llama.tensor_data_layout": "Meta AI original pth",
        "llama.some_switch": False,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 2,
        "tokenizer.ggml.fim_pre_token_id": 2,
        "tokenizer.ggml.remove_extra_whitespaces": False,
        "tokenizer.ggml.add_sep_token": False,
        "tokenizer.ggml.eos_token_ids": [2],
        "tokenizer.chat_templates": ["rag"],
        "tokenizer.chat_template.rag": "{{ x }}",
        "tokenizer.huggingface.json": "{}",
    }
    read = read_gguf(write(tmp_path / "a.gguf", harmless))
    assert (read.shape, read.tokenizer) == (SHAPE, MODEL.tokenizer)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("blk.0.attn_q.bias", "has the bias"),
        ("blk.1.ffn_down.bias", "has the bias"),
        ("output.bias", "has the bias"),
        ("output_norm.bias", "has the bias"),
        ("blk.2.attn_q.weight", "of a layer beyond its 2"),
        ("blk.0.attn_q_norm.weight", "which no supported llama model has"),
        ("blk.0.post_attention_norm.weight", "which no supported llama model has"),
        ("blk.0.ffn_gate_inp.weight", "which no supported llama model has"),
        ("rope_factors_long.weight", "which no supported llama model has"),
        ("blk.0.attn_q.weight.lora_a", "which no supported llama model has"),
    ],
)
def test_a_tensor_too_many_is_refused_by_its_name(tmp_path: Path, name: str, words: str) -> None:
    more = {name: np.zeros(96, dtype=np.float32)}
    with pytest.raises(HerdError, match=words) as told:
        read_gguf(write(tmp_path / "a.gguf", tensors=more))
    assert f"`{name}`" in str(told.value)


def test_qwen3_has_no_divisors_of_frequencies(tmp_path: Path) -> None:
    more = {"rope_freqs.weight": np.full(16, 8, dtype=np.float32)}
    with pytest.raises(HerdError, match="`rope_freqs.weight`, which no supported qwen3 model"):  # noqa: RUF043
        read_gguf(write(tmp_path / "a.gguf", tensors=more, model=random_model(QWEN3)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, 0])
def test_divisors_that_are_no_scaling_are_refused(tmp_path: Path, value: float) -> None:
    more = {"rope_freqs.weight": np.full(8, value, dtype=np.float32)}
    with pytest.raises(HerdError, match="differently from Llama"):
        read_gguf(write(tmp_path / "a.gguf", tensors=more))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"general.type": "adapter"}, "not a model: its type is `adapter`"),
        ({"general.type": "mmproj"}, "not a model: its type is `mmproj`"),
        (
            {"llama.attention.head_count": [6, 3]},
            "`llama.attention.head_count` values that differ between layers",
        ),
        (
            {"llama.embedding_length": "wide"},
            "`llama.embedding_length` 'wide', which is not a number",
        ),
        (
            {"llama.rope.freq_base": 10_000.5},
            "10000.5, which is not a whole number. The output formats",
        ),
        (
            {"llama.rope.freq_base": float("nan")},
            "`llama.rope.freq_base` nan, which is not a whole number",
        ),
        (
            {"llama.rope.freq_base": float("inf")},
            "`llama.rope.freq_base` inf, which is not a whole number",
        ),
        ({"llama.rope.freq_base": 1e30}, "rope_theta: Input should be less"),
        ({"llama.block_count": 2**31 - 1}, "layers: Input should be less than or equal to 4096"),
        ({"llama.block_count": None}, "has no `llama.block_count`"),
        ({"llama.attention.key_length": 2**31 - 2}, "head_dim: Input should be less"),
        ({"tokenizer.ggml.model": None}, "has no vocabulary"),
        ({"tokenizer.ggml.model": "no_vocab"}, "has no vocabulary"),
        ({"tokenizer.ggml.tokens": None}, "has no tokens for its vocabulary"),
        ({"tokenizer.ggml.tokens": "abc"}, "`tokenizer.ggml.tokens` is not a list of texts"),
        ({"tokenizer.ggml.scores": ["a"] * 512}, "has the score 'a'"),
        ({"tokenizer.chat_template": ["a"]}, "`tokenizer.chat_template` that is not text"),
        ({"tokenizer.ggml.add_bos_token": "false"}, "'false'; it must be true or false"),
        ({"tokenizer.ggml.add_space_prefix": 0}, "`tokenizer.ggml.add_space_prefix` 0; it must"),
        ({"tokenizer.ggml.pre": 5}, "`tokenizer.ggml.pre` 5, which is not text"),
        ({"tokenizer.ggml.eos_token_ids": "2"}, "that is not a list of numbers"),
        ({"tokenizer.ggml.eos_token_ids": [2, 512]}, "uses 512 as the begin-of-text"),
        ({"tokenizer.ggml.token_type": [1] * 512}, r"without byte fallback \(it lacks <0x00>\)"),
        ({"tokenizer.ggml.bos_token_id": True}, "names True for `bos`"),
        ({"tokenizer.ggml.bos_token_id": 512}, "names 512 for `bos`"),
    ],
)
def test_a_key_that_cannot_be_is_named(tmp_path: Path, keys: dict[str, object], words: str) -> None:
    with pytest.raises(HerdError, match=words):
        read_gguf(write(tmp_path / "a.gguf", keys))


@pytest.mark.parametrize("number", [0, 1])
def test_each_part_of_a_split_model_says_how_the_parts_are_merged(
    tmp_path: Path, number: int
) -> None:
    path = tmp_path / f"m-0000{number + 1}-of-00002.gguf"
    write(path, {"split.count": 2, "split.no": number, "split.tensors.count": 20})
    with pytest.raises(HerdError) as told:
        read_gguf(path)
    assert f"part {number + 1} of 2 of a split model" in str(told.value)
    assert "`llama-gguf-split --merge m-00001-of-00002.gguf m.gguf`" in str(told.value)


def test_rows_without_a_piece_get_unused_ones_and_a_piece_without_a_row_is_refused(
    tmp_path: Path,
) -> None:
    wide = np.concatenate([MODEL.tensor("embedding"), np.ones((8, 96), dtype=np.float32)])
    more = {"token_embd.weight": wide, "output.weight": wide}
    read = read_gguf(write(tmp_path / "a.gguf", tensors=more))
    assert (read.shape.vocab, read.tokenizer.pieces[511:514]) == (
        520,
        (MODEL.tokenizer.pieces[511], "[PAD512]", "[PAD513]"),
    )
    fewer = {"token_embd.weight": wide[:500], "output.weight": wide[:500]}
    with pytest.raises(HerdError, match=r"500 rows .* 512 tokens"):
        read_gguf(write(tmp_path / "b.gguf", tensors=fewer))


def edited(path: Path, offset: int, code: str, value: int) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{code}", content, offset, value)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("offset", "code", "value", "words"),
    [
        (4, "I", 1, "GGUF version 1; the supported versions are 2 and 3"),
        (4, "I", 4, "GGUF version 4; the supported versions are 2 and 3"),
        (4, "I", 3 << 24, "is big-endian"),
        (8, "Q", 2**60, "its 1152921504606846976 tensors would take"),
        (16, "Q", 2**60, "its 1152921504606846976 keys would take"),
        (24, "Q", 2**60, "the name of a key would take"),
        (52, "I", 99, "`general.architecture` has a value of the unknown type 99"),
        (56, "Q", 2**60, "`general.architecture` would take"),
    ],
)
def test_a_number_of_the_header_is_held_against_the_file(
    tmp_path: Path, offset: int, code: str, value: int, words: str
) -> None:
    path = edited(write(tmp_path / "a.gguf"), offset, code, value)
    begin = time.process_time()
    with pytest.raises(HerdError, match=words):
        read_gguf(path)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (struct.pack("<IIQ", 9, 4, 2**60), "claims to have 1152921504606846976 elements"),
        (struct.pack("<IIQ", 9, 0, 3 * 10**6), "would take 3000000 bytes"),
        (struct.pack("<IIQ", 9, 8, 3 * 10**6), "would take 24000000 bytes"),
        (struct.pack("<IIQIQ", 9, 9, 2**40, 9, 2**40), "a list of lists"),
        (struct.pack("<IQ", 8, 3) + b"a\xffb", "`k` is not valid UTF-8"),
        (struct.pack("<I", 13), "unknown type 13"),
    ],
)
def test_a_value_is_held_against_the_file(tmp_path: Path, value: bytes, words: str) -> None:
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
    (tmp_path / "a.gguf").write_bytes(head + struct.pack("<Q", 1) + b"k" + value + bytes(64))
    with pytest.raises(HerdError, match=words):
        read_header(tmp_path / "a.gguf")


def info(name: bytes, size: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    head = struct.pack("<Q", len(name)) + name + struct.pack("<I", len(size))
    return head + struct.pack(f"<{len(size)}QIQ", *size, kind, offset)


@pytest.mark.parametrize(
    ("infos", "words"),
    [
        ([info(b"t", (8,)), info(b"t", (8,), offset=32)], "has the tensor `t` twice"),
        ([info(b"t", (8,)), info(b"u", (8,))], "`u` begins inside `t`"),
        ([info(b"t", (8,), offset=4)], "begins at 4, which is not a multiple of 32"),
        ([info(b"t", (2**40,))], "`t` would end at byte"),
        ([info(b"t", (2**62, 2**62))], "`t` would end at byte"),
        ([info(b"t", (8,), offset=2**62)], "`t` would end at byte"),
        ([info(b"t", (0,))], "cannot have the shape"),
        ([info(b"t", (8,), kind=2)], "cannot have the shape .* as Q4_0"),
        ([info(b"t", (8,), kind=200)], "`t` of the type number 200"),
        ([info(b"t", (8,), kind=26)], "`t` of the type I32"),
        ([info(b"t", ())], "0 dimensions"),
        ([info(b"t\xff", (8,))], "the name of a tensor is not valid UTF-8"),
    ],
)
def test_the_place_of_a_tensor_is_held_against_the_file(
    tmp_path: Path, infos: list[bytes], words: str
) -> None:
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(infos), 0)
    (tmp_path / "a.gguf").write_bytes(head + b"".join(infos) + bytes(128))
    with pytest.raises(HerdError, match=words):
        read_header(tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a GGUF file"),
        (b"GG", "is not a GGUF file"),
        (b"GGUF", "its header would take 4 bytes, but 0 are left"),
        (b"tjgg" + bytes(32), "the format before GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid x", "`git lfs pull`"),
    ],
)
def test_what_is_no_gguf_is_called_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(HerdError, match=words):
        read_gguf(tmp_path / "a.gguf")


def test_a_big_endian_file_is_refused_and_the_remedy_turns_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf")
    before = path.read_bytes()
    turn(path, "big")
    with pytest.raises(HerdError, match=rf"`gguf-convert-endian {path} little`"):
        read_gguf(path)
    turn(path, "little")
    assert path.read_bytes() == before


def turn(path: Path, order: str) -> None:
    """As printed; the program asks whether it may, for it changes the file in its place."""
    program = Path(sys.executable).with_name("gguf-convert-endian")
    subprocess.run([program, path, order], input=b"YES\n", check=True, capture_output=True)
