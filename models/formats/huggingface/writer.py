"""Writes the weights of Hugging Face directories, for Petals and fine-tuning.

Format: see `models.formats.huggingface.reader`. The `safetensors` package wants all tensors in
memory before it writes the first, so the header is written here and tensors follow one at a time.
`config.json` is that of transformers 4, which 5 reads as well.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import numpy as np

from core.errors import HerdError
from models.checkpoint import CLASSIFIER, tensor_shapes
from models.formats.huggingface.config import ARCHITECTURES, CONFIG
from models.formats.huggingface.reader import WEIGHTS, huggingface_name, is_permuted
from models.formats.quantise import packed_tensor
from models.shape import packed_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.checkpoint import Checkpoint
    from models.shape import ModelShape, Weights
    from models.tokenizer import Tokenizer

DTYPES: dict[Weights, tuple[str, str]] = {"f32": ("F32", "float32"), "f16": ("F16", "float16")}
"""The weights that a directory may hold, as safetensors and torch call them."""
_ALIGNMENT = 8
_HEADER_BYTES_PER_TENSOR = 160
_CONFIG_BYTES = 4096


def write_weights(checkpoint: Checkpoint, folder: Path, weights: Weights) -> tuple[Path, ...]:
    """Write `config.json` and `model.safetensors` into `folder`, one tensor in memory at a time.

    Returns:
        The files written.

    Raises:
        HerdError: a directory cannot hold `weights`.
    """
    if weights not in DTYPES:
        raise HerdError(
            f"A Hugging Face directory cannot hold {weights} weights; choose {' or '.join(DTYPES)}."
        )
    shape = checkpoint.shape
    config = folder / CONFIG
    config.write_text(json.dumps(_config(shape, checkpoint.tokenizer, weights), indent=2) + "\n")
    target = folder / WEIGHTS
    with target.open("wb") as file:
        file.write(_header(shape, weights))
        for name in _written(shape):
            packed = packed_tensor(checkpoint, name, weights)
            halves = _in_halves(packed, shape.head_dim) if is_permuted(name, shape) else packed
            file.write(halves.data)
    return config, target


def expected_size_bytes(shape: ModelShape, weights: Weights) -> int:
    """About how large both files will be: tensors exactly, the rest as an upper bound."""
    sizes = _written(shape).values()
    tensors = sum(packed_bytes(int(np.prod(size)), weights) for size in sizes)
    return tensors + len(sizes) * _HEADER_BYTES_PER_TENSOR + _CONFIG_BYTES


def _written(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """The tensors that are written: a tied classifier is not."""
    sizes = tensor_shapes(shape)
    if shape.tied_classifier:
        del sizes[CLASSIFIER]
    return sizes


def _header(shape: ModelShape, weights: Weights) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, size in _written(shape).items():
        end = offset + packed_bytes(int(np.prod(size)), weights)
        entries[huggingface_name(name)] = {
            "dtype": DTYPES[weights][0],
            "shape": size,
            "data_offsets": (offset, end),
        }
        offset = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    return struct.pack("<Q", len(header)) + header


def _in_halves(packed: NDArray[np.uint8], head_dim: int) -> NDArray[np.uint8]:
    """Rows of neighbours of each head to rows of halves."""
    pairs = packed.reshape(-1, head_dim // 2, 2, packed.shape[1])
    return pairs.swapaxes(1, 2).reshape(packed.shape)


def _config(shape: ModelShape, tokenizer: Tokenizer, weights: Weights) -> dict[str, object]:
    ends = tokenizer.eos_ids
    names = {architecture: name for name, architecture in ARCHITECTURES.items()}
    scaling = shape.rope_scaling
    return {
        "architectures": [names[shape.architecture]],
        "model_type": shape.architecture,
        "vocab_size": shape.vocab,
        "hidden_size": shape.dim,
        "intermediate_size": shape.hidden_dim,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": float(shape.rope_theta),
        "rope_scaling": scaling
        and {
            "rope_type": "llama3",
            "factor": float(scaling.factor),
            "low_freq_factor": float(scaling.low_frequency_factor),
            "high_freq_factor": float(scaling.high_frequency_factor),
            "original_max_position_embeddings": scaling.original_context,
        },
        "attention_bias": False,
        "tie_word_embeddings": shape.tied_classifier,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": ends[0] if len(ends) == 1 else list(ends) or None,
        "torch_dtype": DTYPES[weights][1],
    }
