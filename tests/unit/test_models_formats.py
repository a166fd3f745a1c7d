"""The files for both engines hold the same model, in the layout that each engine reads."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from core.errors import HerdError
from models.catalogue import load_catalogue
from models.checkpoint import CLASSIFIER, Checkpoint, tensor_shapes
from models.formats.dllama import model as dllama
from models.formats.gguf import writer as gguf
from models.formats.gguf.reader import read_gguf
from models.formats.llama2c.reader import read_llama2c
from models.formats.llama2c.vocabulary import read_tokenizer
from models.formats.quantise import pack, unpack
from models.shape import ModelShape, Weights
from models.synthetic import synthetic_checkpoint
from models.tokenizer import PieceType
from tests.doubles.tiny_llama import logits

SHAPE = ModelShape(
    dim=96, hidden_dim=128, layers=2, heads=6, kv_heads=6, head_dim=16, vocab=512, context=64
)
PROMPT = [1, 300, 412, 280, 511, 390]


@pytest.fixture
def checkpoint() -> Checkpoint:
    return synthetic_checkpoint(SHAPE, seed=3)


def written(checkpoint: Checkpoint, path: Path, weights: Weights) -> Path:
    dllama.write_model(checkpoint, path, weights)
    return path


@pytest.mark.parametrize("weights", ["f32", "q4_0"])
def test_a_model_file_has_exactly_the_size_of_the_formula(
    tmp_path: Path, checkpoint: Checkpoint, weights: Weights
) -> None:
    path = written(checkpoint, tmp_path / "a.m", weights)
    assert path.stat().st_size == dllama.expected_size_bytes(SHAPE, weights)


def test_the_formula_gives_the_sizes_that_the_real_converter_wrote() -> None:
    padded = load_catalogue().get("stories15m+kv16").shape
    assert dllama.expected_size_bytes(padded, "f32") == 110_902_024
    assert dllama.expected_size_bytes(padded, "q4_0") == 47_288_584
    small = load_catalogue().get("synthetic:small").shape
    without_head_dim = dllama.header_size_bytes(SHAPE) - 8
    size_bytes = dllama.expected_size_bytes(small, "q4_0", without_head_dim)
    assert size_bytes == 72_290_432


@pytest.mark.parametrize("weights", ["f32", "q4_0"])
def test_the_header_reads_back(tmp_path: Path, checkpoint: Checkpoint, weights: Weights) -> None:
    header = dllama.read_header(written(checkpoint, tmp_path / "a.m", weights))
    assert header.shape == SHAPE
    assert header.weights == weights


def test_a_truncated_model_file_is_refused_before_the_engine_sees_it(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    path = written(checkpoint, tmp_path / "a.m", "f32")
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 4)
    with pytest.raises(HerdError, match="truncated or damaged"):
        dllama.read_header(path)


def test_a_web_page_saved_as_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.m"
    path.write_text("<html>not found</html>")
    with pytest.raises(HerdError, match="is not a distributed-llama model"):
        dllama.read_header(path)


def test_permuting_the_vocabulary_changes_no_logit(tmp_path: Path, checkpoint: Checkpoint) -> None:
    back = dllama.read_model(written(checkpoint, tmp_path / "a.m", "f32"), checkpoint.tokenizer)
    difference = np.abs(logits(back, PROMPT) - logits(checkpoint, PROMPT)).max()
    assert difference < 1e-4


def test_both_engines_get_the_same_quantised_bytes(tmp_path: Path, checkpoint: Checkpoint) -> None:
    model = written(checkpoint, tmp_path / "a.m", "q4_0").read_bytes()
    gguf.write_gguf(checkpoint, tmp_path / "a.gguf", "q4_0", "a")
    tensors = {t.name: t for t in GGUFReader(tmp_path / "a.gguf").tensors}
    offset = dllama.header_size_bytes(SHAPE) + 4 * 512 * 96
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down", "ffn_up"):
        expected = tensors[f"blk.0.{name}.weight"].data.tobytes()
        assert model[offset : offset + len(expected)] == expected, name
        offset += len(expected)


def test_a_q40_block_is_a_scale_and_then_low_and_high_halves() -> None:
    values = np.linspace(-8, 7.5, 32, dtype=np.float32).reshape(1, 32)
    block = pack(values, "q4_0").tobytes()
    scale = struct.unpack("<e", block[:2])[0]
    low = [(byte & 15) - 8 for byte in block[2:]]
    high = [(byte >> 4) - 8 for byte in block[2:]]
    assert len(block) == 18
    assert scale == 1.0
    assert np.abs(np.array(low + high) * scale - values[0]).max() <= 0.5


@pytest.mark.parametrize(
    ("weights", "error"), [("f32", 0.0), ("f16", 0.002), ("q8_0", 0.02), ("q4_0", 0.4)]
)
def test_packing_comes_back_with_the_error_of_its_type(weights: Weights, error: float) -> None:
    matrix = np.random.default_rng(1).standard_normal((64, 96), dtype=np.float32)
    packed = pack(matrix, weights)
    assert np.abs(unpack(packed, weights) - matrix).max() <= error


def test_a_large_matrix_is_packed_in_pieces_with_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrix = np.random.default_rng(1).standard_normal((64, 96), dtype=np.float32)
    whole = pack(matrix, "q4_0")
    monkeypatch.setattr("models.formats.quantise._VALUES_AT_A_TIME", 5 * 96)
    assert np.array_equal(pack(matrix, "q4_0"), whole)


def test_eight_bit_weights_are_refused_for_distributed_llama(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    with pytest.raises(HerdError, match="distributed-llama does not support q8_0"):
        written(checkpoint, tmp_path / "a.m", "q8_0")


@pytest.mark.parametrize("weights", ["f32", "q8_0", "q4_0"])
def test_a_gguf_file_says_its_shape_and_holds_every_tensor(
    tmp_path: Path, checkpoint: Checkpoint, weights: Weights
) -> None:
    path = tmp_path / "a.gguf"
    gguf.write_gguf(checkpoint, path, weights, "a")
    assert read_gguf(path).shape == SHAPE
    assert path.stat().st_size <= gguf.expected_size_bytes(SHAPE, weights)
    reader = GGUFReader(path)
    assert len(reader.tensors) == len(tensor_shapes(SHAPE))
    found = {t.name: t for t in reader.tensors}["output.weight"]
    values = dequantize(found.data, found.tensor_type)
    assert values.shape == (512, 96)
    assert np.abs(values - checkpoint.tensor(CLASSIFIER)).max() < 0.2


def test_the_embedding_stays_float32_as_distributed_llama_has_it(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    gguf.write_gguf(checkpoint, tmp_path / "a.gguf", "q4_0", "a")
    types = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "a.gguf").tensors}
    full = {name for name, kind in types.items() if kind == "F32"}
    norms = {name for name in types if name.endswith("norm.weight")}
    assert full == {"token_embd.weight"} | norms
    assert {types["output.weight"], types["blk.1.ffn_down.weight"]} == {"Q4_0"}


def test_a_text_file_is_not_gguf(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_text("hello " * 10)
    with pytest.raises(HerdError, match="is not a GGUF file"):
        read_gguf(tmp_path / "a.gguf")


def write_llama2c(checkpoint: Checkpoint, path: Path) -> None:
    """The layout of llama2.c's legacy export, with a classifier of its own."""
    shape = checkpoint.shape
    sizes = (shape.dim, shape.hidden_dim, shape.layers, shape.heads, shape.kv_heads)
    order = ["attention_norm", "q", "k", "v", "o", "ffn_norm", "gate", "down", "up"]
    with path.open("wb") as file:
        file.write(struct.pack("<7i", *sizes, -shape.vocab, shape.context))
        file.write(checkpoint.tensor("embedding").tobytes())
        for part in order:
            for layer in range(shape.layers):
                file.write(checkpoint.tensor(f"layers.{layer}.{part}").tobytes())
        file.write(checkpoint.tensor("final_norm").tobytes())
        file.write(bytes(4 * shape.context * shape.head_dim))
        file.write(checkpoint.tensor("classifier").tobytes())


def write_tokenizer_bin(path: Path, byte_pieces: list[bytes]) -> None:
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *byte_pieces]
    pieces += [f" x{n}".encode() for n in range(512 - 259)]
    entries = [struct.pack("<fi", -float(n), len(p)) + p for n, p in enumerate(pieces)]
    path.write_bytes(struct.pack("<i", 5) + b"".join(entries))


def test_llama2c_files_read_into_the_same_tensors(tmp_path: Path, checkpoint: Checkpoint) -> None:
    write_llama2c(checkpoint, tmp_path / "a.bin")
    write_tokenizer_bin(tmp_path / "t.bin", [bytes([n]) for n in range(256)])
    read = read_llama2c(tmp_path / "a.bin", tmp_path / "t.bin", SHAPE)
    for name in tensor_shapes(SHAPE):
        assert np.array_equal(read.tensor(name), checkpoint.tensor(name)), name


def test_both_editions_of_tokenizer_bin_read_alike(tmp_path: Path) -> None:
    write_tokenizer_bin(tmp_path / "raw.bin", [chr(n).encode() for n in range(256)])
    write_tokenizer_bin(tmp_path / "named.bin", [f"<0x{n:02X}>".encode() for n in range(256)])
    raw = read_tokenizer(tmp_path / "raw.bin", 512)
    assert raw == read_tokenizer(tmp_path / "named.bin", 512)
    assert raw.pieces[1] == "<s>"
    assert raw.pieces[3 + 0x80] == "<0x80>"
    assert raw.types[3 + 0x80] is PieceType.BYTE
    assert raw.pieces[259] == "\u2581x0"


def test_a_file_of_another_shape_than_the_catalogue_says_is_refused(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    write_llama2c(checkpoint, tmp_path / "a.bin")
    write_tokenizer_bin(tmp_path / "t.bin", [bytes([n]) for n in range(256)])
    other = SHAPE.model_copy(update={"layers": 3})
    with pytest.raises(HerdError, match="Correct the catalogue"):
        read_llama2c(tmp_path / "a.bin", tmp_path / "t.bin", other)


def test_a_q40_block_follows_the_rule_of_distributed_llamas_converter() -> None:
    matrix = np.random.default_rng(2).standard_normal((64, 96), dtype=np.float32)
    matrix[0] = 0
    matrix[1] = np.tile([1, -1], 48)  # equally far from zero: the positive one counts
    matrix[2] = np.round(matrix[2] * 8) / 8
    packed = pack(matrix, "q4_0").reshape(-1, 18)
    for block, values in zip(packed, matrix.reshape(-1, 32), strict=True):
        highest, lowest = values.max(), values.min()
        scale = np.float32(lowest if -lowest > highest else highest) / np.float32(-8)
        step = np.float32(1) / scale if scale else np.float32(0)
        codes = np.clip(values * step + np.float32(8.5), 0, 15).astype(np.uint8)
        expected = np.float16(scale).tobytes() + (codes[:16] | codes[16:] << 4).tobytes()
        assert block.tobytes() == expected


def test_halves_that_would_be_infinite_are_refused() -> None:
    with pytest.raises(HerdError, match="the largest f16 is 65504"):
        pack(np.full((1, 32), 1e6, dtype=np.float32), "f16")
