"""A Hugging Face directory is read and written as the libraries of Hugging Face have it."""

from __future__ import annotations

import errno
import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.errors import HerdError
from core.progress import SilentReporter
from models.checkpoint import Checkpoint
from models.convert import convert, open_source
from models.formats.dllama.model import write_model
from models.formats.dllama.vocabulary_writer import write_tokenizer
from models.formats.huggingface import writer as huggingface_writer
from models.formats.huggingface.config import read_shape
from models.formats.huggingface.reader import huggingface_name
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint
from tests.doubles.random_models import LLAMA, LLAMA31, QWEN3, random_model

QUIET = SilentReporter()


def as_m(model: Checkpoint, path: Path) -> Path:
    write_model(model, path, "f32")
    write_tokenizer(model.tokenizer, path.with_suffix(".t"))
    return path


def folder_of(model: Checkpoint, path: Path) -> Path:
    source = as_m(model, path.with_name("source.m"))
    convert(source, path, "f32", None, QUIET)
    return path


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize("shape", [LLAMA, LLAMA31, QWEN3])
def test_m_to_a_directory_and_back_gives_the_same_bytes(tmp_path: Path, shape: ModelShape) -> None:
    folder = folder_of(random_model(shape), tmp_path / "model")
    assert read_shape(folder) == shape
    convert(folder, tmp_path / "back.m", "f32", None, QUIET)
    assert (tmp_path / "back.m").read_bytes() == (tmp_path / "source.m").read_bytes()


def test_rows_of_llama_are_halves_of_a_head_there_and_those_of_qwen3_always(tmp_path: Path) -> None:
    llama, qwen3 = random_model(LLAMA), random_model(QWEN3)
    (tmp_path / "q").mkdir()
    name = "model.layers.1.self_attn.q_proj.weight"
    there = load_file(folder_of(llama, tmp_path / "llama") / "model.safetensors")[name]
    ours = llama.tensor("layers.1.q")
    for head in range(LLAMA.heads):
        for pair in range(16):
            for half in range(2):
                row = there[head * 32 + half * 16 + pair]
                assert np.array_equal(row, ours[head * 32 + 2 * pair + half])
    there = load_file(folder_of(qwen3, tmp_path / "q" / "qwen3") / "model.safetensors")[name]
    assert np.array_equal(there, qwen3.tensor("layers.1.q"))


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_short_floats_in_several_files_are_read_exactly(tmp_path: Path, dtype: str) -> None:
    folder = folder_of(random_model(LLAMA), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    expected, weight_map = {}, {}
    for number, (name, values) in enumerate(tensors.items()):
        if dtype == "BF16":
            short = (values.view(np.uint32) >> 16).astype(np.uint16)
            expected[name] = (short.astype(np.uint32) << 16).view(np.float32)
        else:
            short = values.astype(np.float16)
            expected[name] = short.astype(np.float32)
        entry = {"dtype": dtype, "shape": values.shape, "data_offsets": [0, short.nbytes]}
        header = json.dumps({name: entry}).encode()
        weight_map[name] = f"part-{number}.safetensors"
        (folder / weight_map[name]).write_bytes(
            struct.pack("<Q", len(header)) + header + short.tobytes()
        )
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    read = open_source(folder)
    for name in ("embedding", "layers.2.down", "layers.0.attention_norm", "classifier"):
        assert np.array_equal(read.tensor(name), expected[huggingface_name(name)]), name
    (folder / "part-3.safetensors").unlink()
    with pytest.raises(HerdError, match="part-3.safetensors is missing"):  # noqa: RUF043
        open_source(folder)


def test_halves_are_carried_over_and_a_tied_classifier_is_the_embedding(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    folder_of(random_model(LLAMA), tmp_path / "untied")
    convert(tmp_path / "untied", first, "f16", None, QUIET)
    edit_config(first, tie_word_embeddings=True)
    with pytest.raises(HerdError, match=r"tie_word_embeddings.*lm_head\.weight: these contradict"):
        open_source(first)
    tensors = load_file(first / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]  # as Qwen3 0.6B has it
    save_file(tensors, first / "model.safetensors")
    convert(first, second, "f16", None, QUIET)
    tensors = load_file(second / "model.safetensors")
    assert "lm_head.weight" not in tensors
    assert all(
        np.array_equal(values, load_file(first / "model.safetensors")[name])
        for name, values in tensors.items()
    )
    read = open_source(second)
    assert read.shape.tied_classifier
    assert np.array_equal(read.tensor("classifier"), read.tensor("embedding"))


def test_the_newer_spelling_of_rotary_parameters_is_read(tmp_path: Path) -> None:
    folder = folder_of(random_model(LLAMA31), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_scaling") | {"rope_theta": config.pop("rope_theta")}
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
    assert read_shape(folder) == LLAMA31


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["MixtralForCausalLM"]}, "it must be LlamaForCausalLM"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": True}, "attention_bias"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"quantization_config": {"bits": 4}}, "quantised by another tool.* to 4 bits"),
        ({"rms_norm_eps": 1e-3}, "norm_epsilon"),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, "by the rule `yarn`"),
        ({"rope_theta": 10000.5}, "fractional"),
        ({"hidden_size": 64}, "requires"),
        ({"num_hidden_layers": 4}, "has no tensor"),
    ],
)
def test_a_configuration_that_the_neutral_form_cannot_say_is_refused_in_a_sentence(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    folder = folder_of(random_model(LLAMA), tmp_path / "model")
    edit_config(folder, **changes)
    with pytest.raises(HerdError, match=words) as told:
        open_source(folder)
    assert "\n" not in str(told.value)


def test_damaged_and_absent_files_are_named(tmp_path: Path) -> None:
    folder = folder_of(random_model(LLAMA), tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(HerdError, match="not a whole safetensors file"):
        open_source(folder)
    weights.unlink()
    with pytest.raises(HerdError, match="must be saved as safetensors"):
        open_source(folder)
    (folder / "config.json").unlink()
    with pytest.raises(HerdError, match="not a Hugging Face directory"):
        open_source(folder)


def test_a_folder_with_something_in_it_is_left_alone_and_an_empty_one_is_filled(
    tmp_path: Path,
) -> None:
    source = as_m(random_model(LLAMA), tmp_path / "source.m")
    target = tmp_path / "llama-3.1"  # the suffix of a version is none
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(HerdError, match="is not empty"):
        convert(source, target, None, None, QUIET)
    (target / "notes.txt").unlink()
    files = convert(source, target, None, None, QUIET)
    assert sorted(target.iterdir()) == sorted(set(files))


def test_a_full_disk_leaves_no_half_of_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = as_m(random_model(LLAMA), tmp_path / "source.m")
    before = sorted(tmp_path.iterdir())

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_writer, "write_weights", full)
    with pytest.raises(HerdError, match="is full"):
        convert(source, tmp_path / "model", None, None, QUIET)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("first", "second"), [("model", "b.m"), ("a.m", "b.gguf")])
def test_memory_stays_below_four_times_the_largest_tensor(
    tmp_path: Path, first: str, second: str
) -> None:
    shape = LLAMA.model_copy(update={"dim": 512, "hidden_dim": 2048, "layers": 24, "vocab": 8192})
    source = as_m(synthetic_checkpoint(shape, seed=1), tmp_path / "a.m")
    if first == "model":
        convert(source, tmp_path / first, "f16", None, QUIET)
    tracemalloc.start()
    convert(tmp_path / first, tmp_path / second, "q4_0", None, QUIET)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4 * 4 * shape.vocab * shape.dim
