"""Which settings of Hugging Face's JSON files are understood; others are refused by their names.

Sources: huggingface/transformers, `LlamaConfig`, `Qwen3Config`, `PretrainedConfig` and
`GenerationConfig` (versions 4 and 5), and the files of models as they are published.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from core.errors import HerdError
from models.formats.unsayable import is_off, shown_value, unsayable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_CONFIG_USED = frozenset(
    {
        "architectures",
        "model_type",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "sliding_window",
        "tie_word_embeddings",
        "eos_token_id",
    }
)
_CONFIG_NEUTRAL: dict[str, tuple[object, ...]] = {
    "attention_bias": (False, None),
    "embedding_multiplier": (1, None),
    "hidden_act": ("silu", "swish"),
    "hidden_activation": ("silu", "swish", None),
    "is_causal": (True, None),
    "logit_scale": (1, None),
    "logits_scaling": (1, None),
    "mlp_bias": (False, None),
    "num_experts": (0, None),
    "num_experts_per_tok": (0, None),
    "num_local_experts": (0, None),
    "partial_rotary_factor": (1, None),
    "residual_multiplier": (1, None),
    "scale_attn_weights": (True, None),
    "use_rms_norm": (True, None),
    "use_rope": (True, None),
    "use_sliding_window": (False, None),
}
"""Values with which a setting says what is computed anyhow."""
_DESCRIBES = frozenset(
    {
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_commit_hash",
        "_flash_attn_2_enabled",
        "_name_or_path",
        "attn_implementation",
        "chunk_size_feed_forward",
        "dtype",
        "id2label",
        "ignore_index",
        "is_decoder",
        "is_llama_config",
        "label2id",
        "license",
        "loss_type",
        "max_sequence_length",
        "max_window_layers",
        "model_max_length",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "pad_to_multiple_of",
        "pretraining_tp",
        "problem_type",
        "return_dict",
        "seq_length",
        "task_specific_params",
        "tokenizer_class",
        "torch_dtype",
        "transformers.js_config",
        "transformers_version",
        "unsloth_fixed",
        "unsloth_version",
        "use_cache",
        "use_flash_attention",
        "use_flash_attention_2",
        "use_flash_attn",
        "use_xformers",
    }
)
"""They describe the file, or choose between ways to compute the same."""
_TRAINS = re.compile(
    r".*dropout(_prob)?|.*_pdrop|initializer_range|gradient_checkpointing|neftune_noise_alpha"
)
_GENERATES = re.compile(
    r"(bos|pad|sep|cls|mask|decoder_start)_token_id|eos_token_id|max_(new_tokens|length|time)"
    r"|min_(new_tokens|length|p)|do_sample|early_stopping|num_(beams|beam_groups|return_sequences)"
    r"|diversity_penalty|temperature|top_[kph]|typical_p|epsilon_cutoff|eta_cutoff"
    r"|(encoder_)?repetition_penalty|(encoder_)?no_repeat_ngram_size|length_penalty|penalty_alpha"
    r"|renormalize_logits|remove_invalid_values|output_(attentions|hidden_states|scores|logits)"
    r"|return_dict_in_generate|use_cache|cache_implementation|transformers_version"
    r"|_from_model_config|chat_format|max_window_size|low_memory|disable_compile"
    r"|prompt_lookup_num_tokens|num_assistant_tokens(_schedule)?|assistant_\w+|is_assistant"
    r"|(prefill|chunk)\w*_size|target_lookbehind|max_matching_ngram_size|top_n_sigma|guidance_scale"
    r"|exponential_decay_length_penalty|(torch_)?dtype|_name_or_path|cache_config|compile_config"
    r"|tokenizer_class|trust_remote_code"
)
"""How a text is drawn, which a matrix says here, and limits; not what the model computes."""
_QUANTISERS = {
    "bitsandbytes": "bitsandbytes",
    "gptq": "GPTQ",
    "awq": "AWQ",
    "fp8": "FP8",
    "fbgemm_fp8": "FP8 (FBGEMM)",
    "compressed-tensors": "compressed-tensors",
}


def require_computable_config(stated: Mapping[str, object], path: Path) -> None:
    """Refuse settings of `config.json` that the intermediate representation cannot express.

    Raises:
        HerdError: with the name of the quantiser or of the setting.
    """
    for key in ("quantization_config", "compression_config", "quantization"):
        if not is_off(stated.get(key)):
            raise _quantised(stated[key], path)
    if not is_off(stated.get("auto_map")):
        raise HerdError(
            f"{path} names its own program for the model (`auto_map`); only models that "
            "transformers itself implements are supported."
        )
    layers = stated.get("layer_types")
    if isinstance(layers, list) and set(map(str, layers)) <= {"full_attention"}:
        stated = {key: value for key, value in stated.items() if key != "layer_types"}
    known = _CONFIG_USED | _DESCRIBES
    for key, value in stated.items():
        if key in _CONFIG_NEUTRAL:
            says_nothing = value in _CONFIG_NEUTRAL[key]
        else:
            matched = _TRAINS.fullmatch(key) or _GENERATES.fullmatch(key)
            says_nothing = key in known or matched is not None or is_off(value)
        if not says_nothing:
            raise unsayable(path, f"has the setting `{key}` ({shown_value(value)})")


def require_computable_generation(stated: Mapping[str, object], path: Path) -> None:
    """Refuse settings of `generation_config.json` that concern more than sampling.

    Raises:
        HerdError: with the name of the setting.
    """
    for key, value in stated.items():
        if not _GENERATES.fullmatch(key) and not is_off(value):
            raise unsayable(path, f"has the setting `{key}` ({shown_value(value)})")


def require_known(stated: Mapping[str, object], known: Collection[str], path: Path) -> None:
    """Refuse settings beyond `known` that say something.

    Raises:
        HerdError: with the name of one.
    """
    for key, value in stated.items():
        if key not in known and not is_off(value):
            raise unsayable(path, f"has the setting `{key}` ({shown_value(value)})")


def _quantised(config: object, path: Path) -> HerdError:
    stated = config if isinstance(config, dict) else {}
    method = str(stated.get("quant_method", "bitsandbytes" if "load_in_4bit" in stated else ""))
    called = _QUANTISERS.get(method.lower(), method)
    by = f" by {called}" if called else ""
    bits = stated.get("bits")
    size = f" to {bits} bits" if isinstance(bits, int) else ""
    return HerdError(
        f"{path} says that the weights were quantised by another tool{by}{size}, which is not "
        "supported. Use the model's directory from before that (float32, float16 or bfloat16), "
        "or its GGUF file."
    )
