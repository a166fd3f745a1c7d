"""Which keys and tensors of a GGUF file are understood; all others are refused by their names.

Sources: ggml-org/ggml, `docs/gguf.md`; ggml-org/llama.cpp, `src/llama-arch.cpp` (all keys that it
reads) and `src/llama-model.cpp` (what they default to).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from core.errors import HerdError
from models.formats.gguf.writer import ROPE_DIVISORS, gguf_name
from models.formats.unsayable import is_off, shown_value, superfluous, unsayable
from models.shape import ModelShape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_USED = frozenset(
    {
        "context_length",
        "embedding_length",
        "block_count",
        "feed_forward_length",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.layer_norm_rms_epsilon",
        "rope.freq_base",
    }
)
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attn_logit_softcapping": (0,),
    "embedding_scale": (1,),
    "expert_count": (0,),
    "expert_feed_forward_length": (0,),
    "expert_shared_count": (0,),
    "expert_used_count": (0,),
    "final_logit_softcapping": (0,),
    "interleave_moe_layer_step": (0,),
    "leading_dense_block_count": (0,),
    "logit_scale": (1,),
    "nextn_predict_layers": (0,),
    "pooling_type": (0,),
    "residual_scale": (1,),
    "rope.scale_linear": (0, 1),
    "rope.scaling.attn_factor": (1,),
    "rope.scaling.factor": (0, 1),
    "rope.scaling.type": ("none", "linear"),
    "tensor_data_layout": ("Meta AI original pth",),
    "use_parallel_residual": (False,),
    "ggml.token_type_count": (0, 1),
}
"""Values with which a key says what is computed anyhow; how far `linear` goes, its factor says."""
_OF_SCALING = frozenset({"rope.scaling.original_context_length", "rope.scaling.finetuned"})
"""They describe a scaling, and do nothing where there is none (else its own key is refused)."""

_VOCABULARY_USED = frozenset(
    {
        "ggml.model",
        "ggml.pre",
        "ggml.tokens",
        "ggml.token_type",
        "ggml.scores",
        "ggml.merges",
        "ggml.bos_token_id",
        "ggml.eos_token_id",
        "ggml.eos_token_ids",
        "ggml.eot_token_id",
        "ggml.eom_token_id",
        "ggml.unknown_token_id",
        "ggml.add_bos_token",
        "ggml.add_space_prefix",
        "chat_template",
    }
)
_VOCABULARY_HARMLESS = re.compile(
    r"ggml\.(padding|seperator|separator|cls|mask|prefix|suffix|middle|fim_\w+)_token_id"
    r"|chat_templates|chat_template\.\w+|huggingface\.json"
)
"""Ids that no text produces by itself, and templates for other uses than a conversation."""
_OTHERS_READ = frozenset({"adapter", "clip"})
_PART_NAME = re.compile(r"(?P<base>.+)-\d{5}-of-(?P<count>\d{5})\.gguf")
_LAYER = re.compile(r"blk\.(?P<layer>\d+)\.")


def require_whole(values: Mapping[str, object], path: Path) -> None:
    """Refuse a part of a split model, and what is no model.

    Raises:
        HerdError: with what the file is.
    """
    count = values.get("split.count", 0)
    if isinstance(count, int) and count > 1:
        number = values.get("split.no")
        part = f"part {number + 1} of {count}" if isinstance(number, int) else f"one of {count}"
        named = _PART_NAME.fullmatch(path.name)
        base, of = (named["base"], named["count"]) if named else ("FIRST", f"{count:05}")
        raise HerdError(
            f"{path} is {part} of a split model. Merge the parts first: `llama-gguf-split --merge "
            f"{base}-00001-of-{of}.gguf {base}.gguf` (a program of llama.cpp)."
        )
    kind = values.get("general.type", "model")
    if kind != "model":
        raise HerdError(
            f"{path} is not a model: its type is `{kind}`. Give the model that it belongs to; a "
            "LoRA adapter must be merged into it first."
        )


def require_known_keys(values: Mapping[str, object], architecture: str, path: Path) -> None:
    """Refuse keys that are not understood.

    Keys of other namespaces than the architecture's and `tokenizer` are not read by llama.cpp, but
    for `general`, which describes, and `split` and `adapter`.

    Raises:
        HerdError: with the key and its value.
    """
    for key, value in values.items():
        space, _, name = key.partition(".")
        if space == architecture:
            known = name in _USED | _CHECKED_BY_SHAPE | _OF_SCALING
        elif space == "tokenizer":
            known = name in _VOCABULARY_USED or bool(_VOCABULARY_HARMLESS.fullmatch(name))
        else:
            known = space not in _OTHERS_READ
        neutral = _NEUTRAL.get(name) if space in {architecture, "tokenizer"} else None
        says_nothing = is_off(value) if neutral is None else value in neutral
        if not known and not says_nothing:
            raise unsayable(path, f"has the key `{key}` ({shown_value(value)})")


_CHECKED_BY_SHAPE = frozenset(
    {
        "attention.value_length",
        "attention.scale",
        "attention.sliding_window",
        "rope.dimension_count",
        "vocab_size",
    }
)


def require_fitting_keys(
    values: Mapping[str, object], shape: ModelShape, pieces: int, path: Path
) -> None:
    """Refuse keys whose harmless values follow from the shape.

    Args:
        values: the keys.
        shape: the shape that the file states.
        pieces: how many pieces its vocabulary has.
        path: the file, for messages.

    Raises:
        HerdError: with the key, its value and what would be right.
    """

    def stated(name: str) -> object:
        return values.get(f"{shape.architecture}.{name}")

    right: dict[str, tuple[float, ...]] = {
        "attention.value_length": (shape.head_dim,),
        "rope.dimension_count": (shape.head_dim,),
        "vocab_size": (shape.vocab, pieces),
    }
    for name, allowed in right.items():
        if stated(name) not in {None, *allowed}:
            raise unsayable(
                path, f"has `{shape.architecture}.{name}` {stated(name)}, not {allowed[0]}"
            )
    scale, window = stated("attention.scale"), stated("attention.sliding_window")
    if isinstance(scale, int | float) and scale:
        usual = shape.head_dim**-0.5
        if not math.isclose(scale, usual, rel_tol=1e-5):
            raise unsayable(
                path, f"has `{shape.architecture}.attention.scale` {scale:g}, not {usual:g}"
            )
    if window and not (isinstance(window, int) and window >= shape.context):
        raise unsayable(
            path,
            f"has `{shape.architecture}.attention.sliding_window` {shown_value(window)}, less than "
            f"its context of {shape.context}",
        )


def require_known_tensors(names: Iterable[str], shape: ModelShape, path: Path) -> None:
    """Refuse tensors beyond those that a model of the shape has.

    Args:
        names: of the tensors in the file.
        shape: the shape that the file states.
        path: the file, for messages.

    Raises:
        HerdError: with the name of one, and what it is.
    """
    parts = ["q", "k", "v", "o", "gate", "down", "up", "attention_norm", "ffn_norm"]
    parts += ["q_norm", "k_norm"] if shape.has_head_norms else []
    known = {gguf_name(one) for one in ("embedding", "final_norm", "classifier")}
    known |= {gguf_name(f"layers.{layer}.{p}") for layer in range(shape.layers) for p in parts}
    if shape.architecture == "llama":
        known.add(ROPE_DIVISORS)
    for name in sorted(set(names) - known):
        layer = _LAYER.match(name)
        raise superfluous(path, name, layer and layer["layer"], shape)
