"""What Hugging Face's files say is used, known to be harmless, or refused by its name."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.errors import HerdError
from models.convert import open_source, write_folder
from models.formats.huggingface.config import read_shape
from models.shape import ModelShape
from tests.doubles.random_models import LLAMA, QWEN3, random_model

LLAMA_3_1: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.42.3",
    "use_cache": True,
    "vocab_size": 128256,
}
LLAMA_2: dict[str, object] = {
    "_name_or_path": "meta-llama/Llama-2-7b-chat-hf",
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.32.0.dev0",
    "use_cache": True,
    "vocab_size": 32000,
}
SMOLLM2: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
    "transformers_version": "4.42.3",
    "use_cache": True,
    "vocab_size": 49152,
}
QWEN3_06B: dict[str, object] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 40960,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
OF_TRANSFORMERS_5 = {
    **{key: value for key, value in QWEN3_06B.items() if key not in {"rope_theta", "rope_scaling"}},
    "dtype": "bfloat16",
    "layer_types": ["full_attention"] * 28,
    "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"},
    "pad_token_id": None,
}


def config(folder: Path, stated: dict[str, object]) -> Path:
    (folder / "config.json").write_text(json.dumps(stated))
    return folder


def as_folder(path: Path, shape: ModelShape = LLAMA) -> Path:
    write_folder(random_model(shape), path, "f32")
    return path


@pytest.mark.parametrize("stated", [LLAMA_3_1, LLAMA_2, SMOLLM2, QWEN3_06B, OF_TRANSFORMERS_5])
def test_the_settings_of_published_models_are_understood(
    tmp_path: Path, stated: dict[str, object]
) -> None:
    shape = read_shape(config(tmp_path, stated))
    assert shape.layers == stated["num_hidden_layers"]
    assert shape.vocab == stated["vocab_size"]


def test_a_window_that_is_not_used_is_no_reason_to_refuse(tmp_path: Path) -> None:
    plain = read_shape(config(tmp_path, QWEN3_06B))
    stated = {key: value for key, value in QWEN3_06B.items() if key != "use_sliding_window"}
    assert read_shape(config(tmp_path, stated | {"sliding_window": 4096})) == plain
    used = stated | {"sliding_window": 4096, "use_sliding_window": True}
    with pytest.raises(HerdError, match="`use_sliding_window`"):
        read_shape(config(tmp_path, used))


@pytest.mark.parametrize(
    "more",
    [
        {"architectures": None},
        {"rope_scaling": {"type": "linear", "factor": 1.0}},
        {"rope_scaling": {"rope_type": "default", "attention_factor": None}},
        {"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"rope_type": "default"}},
        {"is_causal": True, "ignore_index": -100, "license": "llama2", "use_xformers": True},
        {
            "torchscript": False,
            "pruned_heads": {},
            "return_dict": True,
            "chunk_size_feed_forward": 0,
        },
    ],
)
def test_settings_that_change_nothing_are_no_reason_to_refuse(
    tmp_path: Path, more: dict[str, object]
) -> None:
    plain = read_shape(config(tmp_path, LLAMA_2))
    assert read_shape(config(tmp_path, LLAMA_2 | more)) == plain


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention_bias", True),
        ("mlp_bias", True),
        ("hidden_act", "gelu_pytorch_tanh"),
        ("hidden_activation", "gelu"),
        ("partial_rotary_factor", 0.5),
        ("rope_parameters", {"rope_theta": 1e4, "partial_rotary_factor": 0.5}),
        ("rope_parameters", {"full_attention": {"rope_theta": 1e4}}),
        ("rope_scaling", {"factor": 4.0}),
        ("rope_scaling", {"type": "linear", "factor": 4.0}),
        ("rope_scaling", {"rope_type": "llama3", "factor": 8, "mscale": 2}),
        ("sliding_window", 1024),
        ("layer_types", ["sliding_attention", "full_attention"]),
        ("logit_scale", 0.5),
        ("logits_scaling", 8.0),
        ("residual_multiplier", 0.22),
        ("embedding_multiplier", 12.0),
        ("attention_multiplier", 0.0078125),
        ("final_logit_softcapping", 30.0),
        ("attn_logit_softcapping", 50.0),
        ("num_local_experts", 8),
        ("use_qk_norm", True),
        ("is_causal", False),
        ("scale_attn_weights", False),
        ("clip_qkv", 8.0),
        ("rope_interleaved", True),
        ("something_new", 1),
        ("auto_map", {"AutoModelForCausalLM": "modeling_mine.Mine"}),
    ],
)
def test_a_setting_that_changes_what_is_computed_is_refused_by_its_name(
    tmp_path: Path, key: str, value: object
) -> None:
    with pytest.raises(HerdError) as told:
        read_shape(config(tmp_path, LLAMA_2 | {key: value}))
    said = str(told.value)
    inner = list(value) if isinstance(value, dict) else []
    assert any(f"`{name}" in said for name in (key, *inner)) or "by the rule `" in said
    assert "etch" not in said  # the file is whole


@pytest.mark.parametrize(
    ("quantised", "words"),
    [
        ({"quant_method": "gptq", "bits": 4}, "by GPTQ to 4 bits"),
        ({"quant_method": "awq", "bits": 4, "version": "gemm"}, "by AWQ to 4 bits"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "by bitsandbytes,"),
        ({"load_in_4bit": True}, "by bitsandbytes,"),
        ({"quant_method": "fp8", "fmt": "e4m3"}, "by FP8,"),
        ({"quant_method": "quark"}, "by quark,"),
        ({"group_size": 64}, "quantised by another tool,"),
    ],
)
def test_weights_that_another_tool_has_quantised_are_called_so(
    tmp_path: Path, quantised: dict[str, object], words: str
) -> None:
    with pytest.raises(HerdError, match=words) as told:
        read_shape(config(tmp_path, LLAMA_2 | {"quantization_config": quantised}))
    assert "again" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"architectures": ["GemmaForCausalLM"], "hidden_act": "gelu_pytorch_tanh"},
            "is of the architecture GemmaForCausalLM",
        ),
        (
            {"architectures": ["MistralForCausalLM"], "quantization_config": {"bits": 4}},
            "is of the architecture MistralForCausalLM",
        ),
        ({"architectures": [], "model_type": None}, "names no architecture"),
        ({"architectures": None, "model_type": "gemma"}, "names no architecture"),
        ({"architectures": "GemmaForCausalLM"}, "is of the architecture GemmaForCausalLM"),
        (
            {
                "rope_parameters": {"rope_type": "default"},
                "rope_scaling": LLAMA_3_1["rope_scaling"],
            },
            "`rope_parameters` differently from `rope_scaling`",
        ),
        (
            {"rope_scaling": {"rope_theta": 5e5}, "rope_parameters": {"rope_theta": 1e4}},
            "two different values",
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attn_factor": 0.88}},
            "by the rule `yarn`",
        ),
        (
            {"rope_scaling": {"type": "longrope", "long_factor": [1.0], "short_factor": [1.0]}},
            "by the rule `longrope`",
        ),
        ({"rope_scaling": {"rope_type": "default", "mrope_section": [16, 24]}}, "`mrope_section`"),
        ({"model_type": "mistral"}, "but the model type `mistral`; it must be `llama`"),
        (
            {"rope_parameters": {"rope_theta": 5e5}, "rope_theta": 1e4},
            "two different values for `rope_theta`",
        ),
        ({"num_hidden_layers": 2**31}, "layers: Input should be less than or equal to 4096"),
        ({"vocab_size": 2**31}, "vocab: Input should be less than or equal to"),
        ({"hidden_size": "wide"}, "`hidden_size` in an unsupported form"),
        ({"rope_theta": float("inf")}, "rope_theta: "),
    ],
)
def test_what_a_config_cannot_say_is_named(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    begin = time.process_time()
    with pytest.raises(HerdError, match=words):
        read_shape(config(tmp_path, LLAMA_2 | changes))
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"architectures": [', "not a complete JSON file .* Fetch the file again"),
        (b'{"a": "\xff"}', "not a complete JSON file"),
        (b"[" * 100_000, "recursion limit exceeded .*: this is not a file of a model"),
        (b'{"a": 1' + b"0" * 6000 + b"}", "number out of range .*: this is not a file of a model"),
        ('{"a": 1}'.encode("utf-16"), "is UTF-16 text, .* Save the file as UTF-8"),
        ('{"a": 1}'.encode("utf-16-be"), "is UTF-16 text"),
        (b"{}", "names no architecture"),
        (b"\xef\xbb\xbf{}", "names no architecture"),
        (b'{"model_type": "llama"}', "config.json has no `hidden_size`"),
        (b"[1]", "is not a JSON object"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "`git lfs pull`"),
    ],
)
def test_a_file_that_is_no_config_is_called_what_it_is(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(HerdError, match=words):
        read_shape(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.layers.0.self_attn.q_proj.bias", "has the bias"),
        ("model.layers.0.self_attn.o_proj.bias", "has the bias"),
        ("model.layers.2.mlp.down_proj.bias", "has the bias"),
        ("model.norm.bias", "has the bias"),
        ("lm_head.bias", "has the bias"),
        ("model.layers.3.mlp.up_proj.weight", "of a layer beyond its 3"),
        ("model.layers.0.self_attn.q_norm.weight", "which no supported llama model has"),
        ("model.layers.0.self_attn.q_proj.qweight", "which no supported llama model has"),
        ("model.layers.0.self_attn.q_proj.weight_scale", "which no supported llama model has"),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", "which no supported llama model has"),
    ],
)
def test_a_tensor_too_many_is_refused_by_its_name(tmp_path: Path, name: str, words: str) -> None:
    folder = as_folder(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    more = {name: np.zeros(128, dtype=np.float32)}
    save_file(tensors | more, folder / "model.safetensors")
    with pytest.raises(HerdError, match=words) as told:
        open_source(folder)
    assert f"`{name}`" in str(told.value)


def test_frequencies_that_old_files_hold_are_left_aside(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    more = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(16, dtype=np.float32)}
    save_file(tensors | more, folder / "model.safetensors")
    assert open_source(folder).shape == LLAMA


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_beside_the_model_is_not_overlooked(tmp_path: Path, name: str) -> None:
    folder = as_folder(tmp_path / "model", QWEN3)
    (folder / name).write_text("{}")
    with pytest.raises(HerdError, match=rf"LoRA adapter \({name}\)"):
        open_source(folder)


def test_weights_in_two_places_are_not_chosen_between(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "model")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model.safetensors"}}))
    assert open_source(folder).shape == LLAMA  # an index of the one file, as MLX writes it
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    with pytest.raises(HerdError, match=r"has both model\.safetensors and"):
        open_source(folder)
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "two.safetensors").write_bytes((folder / "one.safetensors").read_bytes())
    names = {"a": "one.safetensors", "b": "two.safetensors"}
    index.write_text(json.dumps({"weight_map": names}))
    with pytest.raises(HerdError, match="in two of its files"):
        open_source(folder)


def test_rows_are_held_against_the_weights_before_they_are_filled_with_pieces(
    tmp_path: Path,
) -> None:
    folder = as_folder(tmp_path / "model")
    stated = json.loads((folder / "config.json").read_text())
    config(folder, stated | {"vocab_size": 3_999_999})
    begin = time.process_time()
    with pytest.raises(HerdError, match=r"embed_tokens\.weight of shape"):
        open_source(folder)
    assert time.process_time() - begin < 1
