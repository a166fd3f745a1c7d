"""A padded model is the same model in every format, and more nodes can share it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import HerdError
from models.build import ensure_artifact, open_checkpoint
from models.cache import CACHE_VARIABLE
from models.catalogue import load_catalogue
from models.checkpoint import layer_tensor, tensor_shapes
from models.formats.dllama.model import read_model, write_model
from models.formats.gguf.reader import read_gguf
from models.formats.gguf.writer import write_gguf
from models.padding import padded, padded_shape
from models.shape import ModelShape, Weights
from models.synthetic import synthetic_checkpoint
from tests.doubles.tiny_llama import logits

SHAPE = ModelShape(
    dim=96, hidden_dim=128, layers=2, heads=6, kv_heads=6, head_dim=16, vocab=512, context=64
)
GROUPED = SHAPE.model_copy(update={"heads": 12, "kv_heads": 3, "head_dim": 8})
PROMPT = [1, 300, 412, 280, 511, 390]


@pytest.mark.parametrize("shape", [SHAPE, GROUPED])
@pytest.mark.parametrize("suffix", [".m", ".gguf"])
def test_added_heads_change_no_logit(tmp_path: Path, shape: ModelShape, suffix: str) -> None:
    checkpoint = synthetic_checkpoint(shape, seed=3)
    path = tmp_path / f"a{suffix}"
    if suffix == ".m":
        write_model(padded(checkpoint, 8), path, "f32")
        back = read_model(path, checkpoint.tokenizer)
    else:
        write_gguf(padded(checkpoint, 8), path, "f32", "a")
        back = read_gguf(path)
    assert (back.shape.kv_heads, back.shape.heads) == (8, 8 * shape.heads // shape.kv_heads)
    assert np.abs(logits(back, PROMPT) - logits(checkpoint, PROMPT)).max() < 1e-4


@pytest.mark.parametrize("weights", ["f32", "q8_0", "q4_0"])
def test_quantised_bytes_of_a_source_stay_and_zeros_follow(
    tmp_path: Path, weights: Weights
) -> None:
    checkpoint = synthetic_checkpoint(SHAPE, seed=3)
    write_gguf(checkpoint, tmp_path / "a.gguf", weights, "a")
    source = read_gguf(tmp_path / "a.gguf")
    more = padded(source, 8)
    for part in ("q", "k", "v", "o", "down", "ffn_norm"):
        kind: Weights = "f32" if part == "ffn_norm" else weights
        before = source.stored(layer_tensor(1, part), kind)
        after = more.stored(layer_tensor(1, part), kind)
        assert before is not None
        assert after is not None
        rows, row_bytes = before.shape
        assert np.array_equal(after[:rows, :row_bytes], before), part
        assert not after[rows:].any(), part
        assert not after[:, row_bytes:].any(), part
        assert (
            more.tensor(layer_tensor(1, part)).shape
            == tensor_shapes(more.shape)[layer_tensor(1, part)]
        )
    assert more.stored("embedding", "q4_0") is None


@pytest.mark.parametrize(
    ("kv_heads", "words"),
    [
        (
            7,
            (
                "7 KV heads are not possible: the model has 6, .* whole blocks of 32. .* possible "
                "number is 8"
            ),
        ),
        (6, "the model has 6, zero-padded heads can only be added.* possible number is 8"),
        (2, "possible number is 8"),
        (0, "possible number is 8"),
    ],
)
def test_a_number_of_heads_that_cannot_be_is_answered_with_one_that_can(
    kv_heads: int, words: str
) -> None:
    with pytest.raises(HerdError, match=words):
        padded_shape(load_catalogue().get("stories15m").shape, kv_heads)


def test_padding_is_part_of_the_name() -> None:
    catalogue = load_catalogue()
    spec = catalogue.get("stories15m+kv16")
    assert (spec.name, spec.slug) == ("stories15m+kv16", "stories15m-kv16")
    assert (spec.shape.heads, spec.shape.kv_heads, spec.shape.head_dim) == (16, 16, 48)
    assert spec.unpadded == catalogue.get("stories15m")
    assert catalogue.get("stories15m").unpadded is None
    with pytest.raises(
        HerdError,
        match=r"The model `stories15m\+kv7`: 7 KV heads are not possible",
    ):
        catalogue.get("stories15m+kv7")
    with pytest.raises(
        HerdError,
        match=r"The catalogue has no model `stories16m`.*Did you mean stories15m",
    ):
        catalogue.get("stories16m+kv8")
    with pytest.raises(HerdError, match=r"adds heads twice; write stories15m\+kv16"):
        catalogue.get("stories15m+kv8+kv16")


def test_a_padded_synthetic_model_is_built_for_both_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    name = "synthetic:dim=96,hidden=128,layers=2,heads=6,kv_heads=6,vocab=512,context=64,seed=3"
    spec = load_catalogue().get(f"{name}+kv8")
    plain = open_checkpoint(load_catalogue().get(name))
    model = ensure_artifact(spec, "dllama", "f32").file("model").path
    gguf = ensure_artifact(spec, "gguf", "f32").file("model").path
    for back in (read_model(model, plain.tokenizer), read_gguf(gguf)):
        assert back.shape.kv_heads == 8
        assert np.abs(logits(back, PROMPT) - logits(plain, PROMPT)).max() < 1e-4
