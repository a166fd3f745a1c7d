"""Writes GGUF files for llama.cpp (architectures `llama` and `qwen3`).

Weights are "pure": every matrix of the layers and the output matrix in the weights type, the
embedding and the norms in float32, exactly as distributed-llama has them, so that the two engines
compute with the same numbers. Format: ggml-org/ggml, `docs/gguf.md`; written by the `gguf` package.
Stretched rotary frequencies are a tensor of their divisors, as llama.cpp's own converter has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFWriter, LlamaFileType

from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    FINAL_NORM,
    Checkpoint,
    tensor_shapes,
)
from models.formats.gguf.vocabulary import add_vocabulary
from models.formats.quantise import GGML_TYPES, packed_tensor
from models.rope import frequency_divisors
from models.shape import packed_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from models.shape import ModelShape, Weights

_NAMES = {
    EMBEDDING: "token_embd.weight",
    FINAL_NORM: "output_norm.weight",
    CLASSIFIER: "output.weight",
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "down": "ffn_down",
    "up": "ffn_up",
    "attention_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
}
ROPE_DIVISORS = "rope_freqs.weight"
"""The tensor of what each rotary frequency is divided by."""
_FILE_TYPES: dict[Weights, LlamaFileType] = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q4_0": LlamaFileType.MOSTLY_Q4_0,
}
_HEADER_ALLOWANCE_BYTES = 64 * 1024
_VOCABULARY_BYTES_PER_PIECE = 64


def write_gguf(checkpoint: Checkpoint, path: Path, weights: Weights, name: str) -> None:
    """Write `checkpoint` as a GGUF file, one tensor in memory at a time.

    Args:
        checkpoint: the model in the intermediate representation.
        path: the file to write.
        weights: type of the matrices; embedding and norms stay float32.
        name: what the file says the model is called.
    """
    shape = checkpoint.shape
    writer = GGUFWriter(path, shape.architecture)
    try:
        _describe(writer, checkpoint, weights, name)
        sizes = tensor_shapes(shape)
        divisors = frequency_divisors(shape) if shape.rope_scaling else None
        if divisors is not None:
            writer.add_tensor_info(ROPE_DIVISORS, divisors.shape, divisors.dtype, divisors.nbytes)
        for tensor, size in sizes.items():
            kind = tensor_weights(tensor, size, weights)
            n_bytes = packed_bytes(int(np.prod(size)), kind)
            writer.add_tensor_info(
                gguf_name(tensor), size, np.dtype(np.float32), n_bytes, raw_dtype=GGML_TYPES[kind]
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if divisors is not None:
            writer.write_tensor_data(divisors)
        for tensor, size in sizes.items():
            kind = tensor_weights(tensor, size, weights)
            writer.write_tensor_data(packed_tensor(checkpoint, tensor, kind))
    finally:
        writer.close()


def tensor_weights(tensor: str, size: tuple[int, ...], weights: Weights) -> Weights:
    """The type in which a tensor is written: norms and the embedding are always float32."""
    return "f32" if len(size) == 1 or tensor == EMBEDDING else weights


def expected_size_bytes(shape: ModelShape, weights: Weights) -> int:
    """About how large the file will be: tensors exactly, the vocabulary as an upper bound."""
    sizes = tensor_shapes(shape)
    tensors = sum(
        packed_bytes(int(np.prod(size)), tensor_weights(tensor, size, weights))
        for tensor, size in sizes.items()
    )
    return tensors + shape.vocab * _VOCABULARY_BYTES_PER_PIECE + _HEADER_ALLOWANCE_BYTES


def _describe(writer: GGUFWriter, checkpoint: Checkpoint, weights: Weights, name: str) -> None:
    shape = checkpoint.shape
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[weights])
    writer.add_quantization_version(2)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden_dim)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(float(shape.rope_theta))
    writer.add_vocab_size(shape.vocab)
    add_vocabulary(writer, checkpoint.tokenizer)


def gguf_name(tensor: str) -> str:
    """What GGUF calls a tensor, for example `blk.0.attn_q.weight`."""
    if tensor in _NAMES:
        return _NAMES[tensor]
    _, layer, part = tensor.split(".")
    return f"blk.{layer}.{_NAMES[part]}.weight"
