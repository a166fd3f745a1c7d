"""A model of a user's own becomes the files that an engine loads, and stays the same model."""

from __future__ import annotations

import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import quantize

from core.errors import HerdError
from core.progress import SilentReporter
from models.checkpoint import CLASSIFIER, Checkpoint, layer_tensor, tensor_shapes
from models.convert import convert, open_source
from models.formats.dllama.model import read_header, read_model, write_model
from models.formats.dllama.vocabulary_writer import vocabulary_order, write_tokenizer
from models.formats.gguf.writer import gguf_name, write_gguf
from models.shape import ModelShape, Weights
from models.synthetic import synthetic_checkpoint
from tests.doubles.tiny_llama import logits

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = ModelShape(
    dim=96, hidden_dim=128, layers=2, heads=6, kv_heads=6, head_dim=16, vocab=512, context=64
)
PROMPT = [1, 300, 412, 280, 511, 390]
QUIET = SilentReporter()


@pytest.fixture
def model() -> Checkpoint:
    return synthetic_checkpoint(SHAPE, seed=3)


@pytest.fixture
def source(tmp_path: Path, model: Checkpoint) -> Path:
    path = tmp_path / "mine.gguf"
    write_gguf(model, path, "f32", "mine")
    return path


def llama2c(model: Checkpoint, folder: Path) -> Path:
    """The model as llama2.c writes it."""
    shape, path = model.shape, folder / "mine.bin"
    sizes = (shape.dim, shape.hidden_dim, shape.layers, shape.heads, shape.kv_heads, -shape.vocab)
    order = ("attention_norm", "q", "k", "v", "o", "ffn_norm", "gate", "down", "up")
    names = ["embedding", *(layer_tensor(n, p) for p in order for n in range(shape.layers))]
    with path.open("wb") as file:
        file.write(struct.pack("<7i", *sizes, shape.context))
        for name in [*names, "final_norm"]:
            file.write(model.tensor(name).tobytes())
        file.write(bytes(4 * shape.context * shape.head_dim))
        file.write(model.tensor(CLASSIFIER).tobytes())
    pieces = [piece.encode() for piece in model.tokenizer.pieces]
    entries = zip(model.tokenizer.scores, pieces, strict=True)
    content = b"".join(struct.pack("<fi", score, len(piece)) + piece for score, piece in entries)
    (folder / "tokenizer.bin").write_bytes(struct.pack("<i", 8) + content)
    return path


@pytest.mark.parametrize("kv_heads", [None, 8])
def test_a_gguf_model_computes_the_same_as_m(
    tmp_path: Path, source: Path, model: Checkpoint, kv_heads: int | None
) -> None:
    files = convert(source, tmp_path / "out" / "mine.m", "f32", kv_heads, QUIET)
    assert [file.name for file in files] == ["mine.m", "mine.t"]
    assert read_header(files[0]).shape.kv_heads == (kv_heads or SHAPE.kv_heads)
    back = read_model(files[0], model.tokenizer)
    assert np.abs(logits(back, PROMPT) - logits(model, PROMPT)).max() < 1e-4


def test_a_llama2c_model_computes_the_same_as_gguf(tmp_path: Path, model: Checkpoint) -> None:
    (file,) = convert(llama2c(model, tmp_path), tmp_path / "mine.gguf", "f32", None, QUIET)
    back = open_source(file)
    assert back.shape == model.shape
    assert np.array_equal(logits(back, PROMPT), logits(model, PROMPT))


def test_blocks_of_q4_0_are_carried_over_as_they_are(
    tmp_path: Path, source: Path, model: Checkpoint
) -> None:
    """Even those that quantising again would change: no value of theirs is the lowest."""
    first = tmp_path / "first.gguf"
    convert(source, first, "q4_0", None, QUIET)
    raw = bytearray(first.read_bytes())
    found = {tensor.name: tensor for tensor in GGUFReader(first).tensors}
    tensor = found[gguf_name(layer_tensor(1, "q"))]
    begin, n_bytes = int(tensor.data_offset), int(tensor.n_bytes)
    blocks = np.frombuffer(raw, dtype=np.uint8, count=n_bytes, offset=begin).reshape(-1, 18)
    blocks[:, 2:] = 0x77 + np.arange(16) % 8
    (tmp_path / "odd.gguf").write_bytes(raw)
    convert(tmp_path / "odd.gguf", tmp_path / "odd.m", "q4_0", None, QUIET)
    assert blocks.tobytes() in (tmp_path / "odd.m").read_bytes()
    read = read_model(tmp_path / "odd.m", model.tokenizer)
    there = open_source(tmp_path / "odd.gguf")
    assert np.array_equal(read.tensor(layer_tensor(1, "q")), there.tensor(layer_tensor(1, "q")))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_1", "Q4_1"])
def test_other_types_are_read_as_the_package_reads_them(
    tmp_path: Path, model: Checkpoint, source: Path, kind: str
) -> None:
    ggml = GGMLQuantizationType[kind]
    other = tmp_path / "other.gguf"
    writer = GGUFWriter(other, "llama")
    for field in GGUFReader(source).fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            sub = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=sub)
    for name, size in tensor_shapes(SHAPE).items():
        values = model.tensor(name)
        if len(size) == 1:
            writer.add_tensor(gguf_name(name), values)
        else:
            writer.add_tensor(gguf_name(name), quantize(values, ggml), raw_dtype=ggml)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    convert(other, tmp_path / "other.m", "f32", None, QUIET)
    back = read_model(tmp_path / "other.m", model.tokenizer)
    assert np.corrcoef(logits(back, PROMPT).ravel(), logits(model, PROMPT).ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("source_name", "target", "weights", "kv_heads", "words"),
    [
        ("absent.gguf", "a.m", "f32", None, "no such file"),
        ("notes.txt", "a.m", "f32", None, "Give a .gguf"),
        ("mine.gguf", "a.safetensors", "f32", None, "must end in .m or .gguf"),
        ("mine.gguf", "a.m", "q8_0", None, "choose f32, q4_0"),
        ("mine.gguf", "a.gguf", "q5_k", None, "choose f32, f16, q8_0, q4_0"),
        ("mine.gguf", "mine.gguf", "f32", None, "is the source itself"),
        ("mine.gguf", "a.m", "f32", 3, "the model has 6, zero-padded heads can only be added"),
        ("mine.gguf", "a.gguf", "f32", 7, "7 KV heads are not possible"),
        ("lonely.bin", "a.m", "f32", None, "tokenizer.bin"),
        ("cut.gguf", "a.m", "f32", None, "not a whole GGUF file"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_file(
    tmp_path: Path,
    source: Path,
    source_name: str,
    target: str,
    weights: Weights,
    kv_heads: int | None,
    words: str,
) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "lonely.bin").write_bytes(bytes(64))
    (tmp_path / "cut.gguf").write_bytes(source.read_bytes()[:70_000])
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(HerdError, match=words) as told:
        convert(tmp_path / source_name, tmp_path / target, weights, kv_heads, QUIET)
    assert "\n" not in str(told.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_file_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    for name in ("a.m", "a.bin", "a.gguf"):
        (tmp_path / name).symlink_to(tmp_path / name)  # leads to itself
    (tmp_path / "a.t").mkdir()
    for name in ("a.m", "a.bin", "a.gguf"):
        with pytest.raises(HerdError):
            open_source(tmp_path / name)


def test_a_model_of_llama2_c_s_later_versions_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(struct.pack("<7i", 0x616B3432, 1, 1, 1, 1, 1, 1) + bytes(228))
    (tmp_path / "tokenizer.bin").write_bytes(b"")
    with pytest.raises(HerdError, match="is llama2.c version 1; only version 0"):  # noqa: RUF043
        open_source(tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((0, 2**31 - 1), "dim .2147483647. is not a multiple of heads"),
        ((8, 2**31 - 1), "layers: Input should be less than or equal to 4096"),
        ((8, 4096), "but its header requires"),
        ((20, -(2**31)), "vocab: Input should be less than or equal to"),
        ((20, 512), "but its header requires"),
        ((16, 5), "must be a multiple of kv_heads"),
    ],
)
def test_a_header_of_llama2_c_is_held_against_the_file(
    tmp_path: Path, model: Checkpoint, change: tuple[int, int], words: str
) -> None:
    path = llama2c(model, tmp_path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, *change)
    path.write_bytes(content)
    with pytest.raises(HerdError, match=words):
        open_source(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda whole: whole + bytes(9), "continues after the 512 tokens"),
        (lambda whole: whole[:-9], "does not hold a vocabulary of 512 tokens"),
        (lambda whole: whole[:-1] + b"\xff", "its token 511 is not valid UTF-8"),
        (lambda whole: whole[:4] + struct.pack("<fi", 0, -5) + whole[12:], "does not hold"),
        (lambda whole: whole[:4] + struct.pack("<fi", 0, 2**31 - 1) + whole[12:], "does not hold"),
    ],
)
def test_a_vocabulary_of_llama2_c_is_held_against_the_file(
    tmp_path: Path, model: Checkpoint, content: Callable[[bytes], bytes], words: str
) -> None:
    path, tokenizer = llama2c(model, tmp_path), tmp_path / "tokenizer.bin"
    tokenizer.write_bytes(content(tokenizer.read_bytes()))
    with pytest.raises(HerdError, match=words):
        open_source(path)


def test_rows_that_are_no_blocks_of_32_become_float_files_and_no_quantised_ones(
    tmp_path: Path,
) -> None:
    """llama.cpp's own small test model has a hidden width of 172."""
    model = synthetic_checkpoint(SHAPE.model_copy(update={"hidden_dim": 172}), seed=3)
    source = tmp_path / "odd.gguf"
    write_gguf(model, source, "f32", "odd")
    (file,) = convert(source, tmp_path / "again.gguf", "f32", None, QUIET)
    assert np.array_equal(logits(open_source(file), PROMPT), logits(model, PROMPT))
    convert(source, tmp_path / "halves", "f16", None, QUIET)
    with pytest.raises(HerdError, match=r"hidden_dim \(172\) is not a multiple of 32, and q8_0"):
        convert(source, tmp_path / "b.gguf", "q8_0", None, QUIET)
    with pytest.raises(HerdError, match=r"172 feed-forward values .* whole number of groups of 8"):
        convert(source, tmp_path / "b.m", "f32", None, QUIET)


def test_rows_of_m_without_a_piece_get_unused_ones(tmp_path: Path, model: Checkpoint) -> None:
    """The published Qwen3 files have 151669 pieces and 151936 rows."""
    write_model(model, tmp_path / "a.m", "f32")
    fewer = replace(
        model.tokenizer,
        pieces=model.tokenizer.pieces[:500],
        scores=model.tokenizer.scores[:500],
        types=model.tokenizer.types[:500],
    )
    # rows of the file in its own order: bos and eos come behind the 500 pieces, the rest follows
    order = [*vocabulary_order(fewer).tolist(), *range(500, 512)]
    whole = vocabulary_order(model.tokenizer).tolist()
    raw = {name: model.tensor(name) for name in ("embedding", "classifier")}
    shuffled = replace(
        model,
        load=lambda name: (
            raw[name][order][np.argsort(whole)] if name in raw else model.tensor(name)
        ),
    )
    write_model(shuffled, tmp_path / "a.m", "f32")
    write_tokenizer(fewer, tmp_path / "a.t")
    back = open_source(tmp_path / "a.m")
    assert back.tokenizer.pieces[498:502] == (*fewer.pieces[498:], "[PAD500]", "[PAD501]")
    assert np.array_equal(back.tensor("embedding"), raw["embedding"])
    assert np.array_equal(back.tensor("classifier"), raw["classifier"])


def test_memory_stays_below_four_times_the_largest_tensor(tmp_path: Path) -> None:
    shape = SHAPE.model_copy(update={"dim": 512, "hidden_dim": 2048, "layers": 24, "vocab": 8192})
    source, target = tmp_path / "large.gguf", tmp_path / "large.m"
    write_gguf(synthetic_checkpoint(shape, seed=1), source, "q8_0", "large")
    largest_bytes = 4 * shape.vocab * shape.dim
    tracemalloc.start()
    convert(source, target, "q4_0", None, QUIET)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4 * largest_bytes
    assert target.stat().st_size > 2 * largest_bytes
