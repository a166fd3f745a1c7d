"""Qwen3 and Llama 3.1 stay the same model in every file, and compute what the engine computes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from pydantic import ValidationError

from core.errors import HerdError
from models.checkpoint import tensor_shapes
from models.formats.dllama import model as dllama
from models.formats.gguf.reader import read_gguf
from models.formats.gguf.writer import gguf_name, write_gguf
from models.rope import frequency_divisors
from models.shape import ModelShape, RopeScaling, Weights
from tests.doubles.random_models import LLAMA, LLAMA31, QWEN3, random_model
from tests.doubles.tiny_llama import greedy, logits

PROMPT = [1, 343, 380, 259, 340, 344, 332, 326, 334, 259, 325, 417, 346, 337, 467, 347]
LLAMA_3_1_8B = ModelShape(
    dim=4096,
    hidden_dim=14336,
    layers=32,
    heads=32,
    kv_heads=8,
    head_dim=128,
    vocab=128256,
    context=131072,
    rope_theta=500_000,
    rope_scaling=RopeScaling(
        factor=8, low_frequency_factor=1, high_frequency_factor=4, original_context=8192
    ),
)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (
            LLAMA31,
            "4bcabva_vDtiqAM doecido fojebeci nofo lococapweW kutuamifudoLli locoM gak naZ lo",
        ),
        (QWEN3, "kTyusi<Rri ko nopkTyu,nudu je7nawja| jo,nudu de'1 jo,nudu de'1 jo,nudu de'1 da)"),
    ],
)
def test_the_plain_model_writes_what_distributed_llama_wrote_from_its_m_file(
    shape: ModelShape, text: str
) -> None:
    """Recorded: dllama inference (8d624a7, one-token correction), F32, `the quick brown fox`."""
    model = random_model(shape)
    pieces = [model.tokenizer.pieces[token] for token in greedy(model, PROMPT, 45)]
    assert "".join(pieces).replace("\u2581", " ") == text


@pytest.mark.parametrize("shape", [LLAMA, LLAMA31, QWEN3])
def test_a_model_comes_back_from_m(tmp_path: Path, shape: ModelShape) -> None:
    model = random_model(shape)
    dllama.write_model(model, tmp_path / "a.m", "f32")
    back = dllama.read_model(tmp_path / "a.m", model.tokenizer)
    assert back.shape == shape
    assert (tmp_path / "a.m").stat().st_size == dllama.expected_size_bytes(shape, "f32")
    for name in tensor_shapes(shape):
        assert np.array_equal(back.tensor(name), model.tensor(name)), name


@pytest.mark.parametrize("shape", [LLAMA, QWEN3])
@pytest.mark.parametrize("weights", ["f32", "f16"])
def test_a_model_comes_back_from_gguf(tmp_path: Path, shape: ModelShape, weights: Weights) -> None:
    model = random_model(shape)
    write_gguf(model, tmp_path / "a.gguf", weights, "a")
    back = read_gguf(tmp_path / "a.gguf")
    assert back.shape == shape
    error = 0 if weights == "f32" else 0.1
    assert np.abs(logits(back, PROMPT) - logits(model, PROMPT)).max() <= error


def test_the_scaling_of_llama_3_1_comes_back_from_gguf(tmp_path: Path) -> None:
    assert LLAMA_3_1_8B.rope_scaling is not None
    for factor in (8, 32):
        scaling = LLAMA_3_1_8B.rope_scaling.model_copy(update={"factor": factor})
        shape = LLAMA.model_copy(update={"rope_theta": 500_000, "rope_scaling": scaling})
        write_gguf(random_model(shape), tmp_path / "a.gguf", "f32", "a")
        assert read_gguf(tmp_path / "a.gguf").shape == shape


def test_a_scaling_that_a_gguf_file_cannot_tell_is_refused(tmp_path: Path) -> None:
    write_gguf(random_model(LLAMA31), tmp_path / "a.gguf", "f32", "a")
    with pytest.raises(HerdError, match="differently from Llama"):
        read_gguf(tmp_path / "a.gguf")


def test_divisors_are_those_of_llama_3_1() -> None:
    """The rule of meta-llama/llama-models, frequency by frequency."""
    expected = []
    for pair in range(64):
        frequency = 1 / 500_000 ** (2 * pair / 128)
        wavelength = 2 * np.pi / frequency
        if wavelength < 8192 / 4:
            expected.append(1.0)
        elif wavelength > 8192 / 1:
            expected.append(8.0)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            expected.append(1 / ((1 - smooth) / 8 + smooth))
    assert np.allclose(frequency_divisors(LLAMA_3_1_8B), expected, rtol=1e-6)
    assert 1 < sorted(expected)[len([d for d in expected if d == 1])] < 8  # some are blended


def test_quantised_bytes_go_from_m_to_gguf_and_back_as_they_are(tmp_path: Path) -> None:
    model = random_model(QWEN3)
    first, between, last = tmp_path / "a.m", tmp_path / "a.gguf", tmp_path / "b.m"
    dllama.write_model(model, first, "q4_0")
    write_gguf(dllama.read_model(first, model.tokenizer), between, "q4_0", "a")
    dllama.write_model(read_gguf(between), last, "q4_0")
    assert first.read_bytes() == last.read_bytes()
    found = {tensor.name: tensor for tensor in GGUFReader(between).tensors}
    assert found[gguf_name("layers.1.down")].data.tobytes() in first.read_bytes()


def test_the_header_says_what_the_engine_asks_for(tmp_path: Path) -> None:
    dllama.write_model(random_model(LLAMA31), tmp_path / "a.m", "f32")
    size_bytes = struct.unpack("<2i", (tmp_path / "a.m").read_bytes()[:8])[1]
    numbers = struct.unpack(
        f"<{(size_bytes - 8) // 4}i", (tmp_path / "a.m").read_bytes()[8:size_bytes]
    )
    pairs = dict(zip(numbers[::2], numbers[1::2], strict=True))
    assert [pairs[key] for key in (14, 15, 16, 17, 18)] == [8, 1, 4, 64, 2]
    dllama.write_model(random_model(QWEN3), tmp_path / "b.m", "f32")
    pairs = dict(struct.iter_unpack("<2i", (tmp_path / "b.m").read_bytes()[8:136]))
    assert (pairs[1], pairs[19], pairs[20]) == (0xABCD01, 32, 6)


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    dllama.write_model(random_model(LLAMA), tmp_path / "a.m", "f32")
    other = random_model(LLAMA.model_copy(update={"vocab": 1024})).tokenizer
    with pytest.raises(HerdError, match=r"512 rows .* 1024 tokens .* belong to different models"):
        dllama.read_model(tmp_path / "a.m", other)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm_epsilon": 2e-5}, "must be 1e-05 or 1e-06"),
        ({"architecture": "qwen3"}, "rope_scaling must be left out"),
        ({"architecture": "mamba"}, "'llama' or 'qwen3'"),
        ({"rope_scaling": {"factor": 8, "low_frequency_factor": 4}}, "Field required"),
        (
            {
                "rope_scaling": {
                    "factor": 8,
                    "low_frequency_factor": 4,
                    "high_frequency_factor": 4,
                    "original_context": 8192,
                }
            },
            "must be greater than",
        ),
    ],
)
def test_a_shape_that_no_engine_can_say_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ModelShape.model_validate(LLAMA31.model_dump() | change)


def test_a_number_that_the_engine_cannot_count_is_refused(tmp_path: Path) -> None:
    model = random_model(LLAMA.model_copy(update={"rope_theta": 10**10}))
    with pytest.raises(HerdError, match="rope_theta is 10000000000"):
        dllama.write_model(model, tmp_path / "a.m", "f32")
