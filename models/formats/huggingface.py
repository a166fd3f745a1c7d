"""Reads the weights of Hugging Face directories: `config.json` and safetensors files.

Format: huggingface/transformers (`LlamaConfig`, `Qwen3Config`, versions 4 and 5) and
huggingface/safetensors: uint64 header size, a JSON header with type, shape and place of every
tensor, then their bytes; the `safetensors` package checks the header. Files are mapped into memory,
tensors stay on disk until they are asked for.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, PositiveInt, ValidationError
from safetensors import SafetensorError, safe_open

from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    FINAL_NORM,
    Checkpoint,
    Matrix,
    tensor_shapes,
)
from models.errors import HerdError
from models.formats.json_file import read_json
from models.shape import NORM_EPSILONS, Architecture, ModelShape, RopeScaling, mistakes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.shape import Weights
    from models.tokenizer import Tokenizer

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ARCHITECTURES: dict[str, Architecture] = {
    "LlamaForCausalLM": "llama",
    "Qwen3ForCausalLM": "qwen3",
}
_QWEN3_HEAD_DIM = 128
_DTYPES: dict[str, np.dtype[np.generic]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
_NAMES = {
    EMBEDDING: "model.embed_tokens.weight",
    FINAL_NORM: "model.norm.weight",
    CLASSIFIER: "lm_head.weight",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "down": "mlp.down_proj",
    "up": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
}


class _Rope(BaseModel):
    """`rope_scaling` of transformers 4 or `rope_parameters` of 5."""

    rope_theta: float | None = None
    rope_type: str | None = None
    type: str | None = None
    factor: float | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: float | None = None


class _Config(BaseModel):
    """The part of `config.json` that says what is computed."""

    architectures: Annotated[list[str], Field(min_length=1)]
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    rms_norm_eps: float = 1e-6
    rope_theta: float | None = None
    rope_scaling: _Rope | None = None
    rope_parameters: _Rope | None = None
    tie_word_embeddings: bool = False
    hidden_act: Literal["silu"] = "silu"
    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    use_sliding_window: Literal[False] = False
    quantization_config: None = None


class _Index(BaseModel):
    weight_map: dict[str, Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]]


@dataclass(frozen=True)
class _Stored:
    """A tensor in a mapped file."""

    dtype: str
    size: tuple[int, ...]
    raw: NDArray[np.uint8]

    def values(self) -> NDArray[np.generic]:
        """Its values; bfloat16 as the upper halves of float32."""
        return self.raw.view(_DTYPES[self.dtype]).reshape(self.size)


def read_huggingface(folder: Path, tokenizer: Tokenizer) -> Checkpoint:
    """Open the weights of a Hugging Face directory.

    Args:
        folder: with `config.json` and `model.safetensors`, or several of them and their index.
        tokenizer: the vocabulary, as many pieces as `config.json` says.

    Raises:
        HerdError: a file is absent or damaged, the architecture is another one, or the neutral
            form cannot say what `config.json` asks for.
    """
    shape = read_shape(folder)
    if len(tokenizer.pieces) != shape.vocab:
        raise HerdError(
            f"{folder} has {shape.vocab} vocabulary pieces by its {CONFIG}, and "
            f"{len(tokenizer.pieces)} by its tokenizer: they belong to different models."
        )
    tensors = _tensors(folder, shape)

    def values(name: str) -> NDArray[np.generic]:
        stored = tensors[name].values()
        return _in_pairs(stored, shape.head_dim) if is_permuted(name, shape) else stored

    def stored(name: str, weights: Weights) -> NDArray[np.uint8] | None:
        if weights != "f16" or tensors[name].dtype != "F16":
            return None
        return np.ascontiguousarray(np.atleast_2d(values(name))).view(np.uint8)

    return Checkpoint(
        shape=shape,
        tokenizer=tokenizer,
        load=lambda name: _floats(values(name), tensors[name].dtype),
        stored=stored,
    )


def read_shape(folder: Path) -> ModelShape:
    """The shape that `config.json` states.

    Raises:
        HerdError: as `read_huggingface`.
    """
    config = read_json(folder / CONFIG, _Config)
    architecture = ARCHITECTURES.get(config.architectures[0])
    if architecture is None:
        raise HerdError(
            f"{folder / CONFIG} is of the architecture {config.architectures[0]}; right would be "
            f"{' or '.join(ARCHITECTURES)}."
        )
    heads, dim = config.num_attention_heads, config.hidden_size
    head_dim = _QWEN3_HEAD_DIM if architecture == "qwen3" else dim // heads
    epsilons = (known for known in NORM_EPSILONS if np.isclose(config.rms_norm_eps, known, atol=0))
    try:
        return ModelShape(
            dim=dim,
            hidden_dim=config.intermediate_size,
            layers=config.num_hidden_layers,
            heads=heads,
            kv_heads=config.num_key_value_heads or heads,
            head_dim=config.head_dim or head_dim,
            vocab=config.vocab_size,
            context=config.max_position_embeddings,
            tied_classifier=config.tie_word_embeddings,
            rope_theta=_rope_theta(config),
            architecture=architecture,
            norm_epsilon=next(epsilons, config.rms_norm_eps),
            rope_scaling=_rope_scaling(config, folder / CONFIG),
        )
    except ValidationError as error:
        raise HerdError(
            f"{folder / CONFIG} has a shape that cannot be: {mistakes(error)}."
        ) from None


def huggingface_name(tensor: str) -> str:
    """What Hugging Face calls a tensor, such as `model.layers.0.self_attn.q_proj.weight`."""
    if tensor in _NAMES:
        return _NAMES[tensor]
    _, layer, part = tensor.split(".")
    return f"model.layers.{layer}.{_NAMES[part]}.weight"


def is_permuted(tensor: str, shape: ModelShape) -> bool:
    """Whether the rows of a tensor have another order in Hugging Face than in the neutral form."""
    return shape.architecture == "llama" and tensor.rpartition(".")[2] in ("q", "k")


def _rope_theta(config: _Config) -> float:
    stated = (config.rope_parameters and config.rope_parameters.rope_theta) or config.rope_theta
    return stated or 10_000


def _rope_scaling(config: _Config, path: Path) -> RopeScaling | None:
    rope = config.rope_parameters or config.rope_scaling
    kind = (rope.rope_type or rope.type) if rope else None
    if rope is None or kind in {None, "default"}:
        return None
    if kind != "llama3":
        raise HerdError(
            f"{path} scales rotary frequencies by the rule `{kind}`; right would be `llama3` or "
            "none."
        )
    return RopeScaling.model_validate(
        {
            "factor": rope.factor,
            "low_frequency_factor": rope.low_freq_factor,
            "high_frequency_factor": rope.high_freq_factor,
            "original_context": rope.original_max_position_embeddings,
        }
    )


def _tensors(folder: Path, shape: ModelShape) -> dict[str, _Stored]:
    """The tensors by their neutral names, all there, of the right shape and a type we read."""
    found = _mapped(folder)
    tensors = {}
    for name, size in tensor_shapes(shape).items():
        tied = name == CLASSIFIER and shape.tied_classifier
        called = huggingface_name(EMBEDDING if tied else name)
        tensor = found.get(called)
        if tensor is None:
            raise HerdError(f"{folder} lacks the tensor {called}.")
        if tensor.dtype not in _DTYPES:
            raise HerdError(
                f"{folder} has {called} as {tensor.dtype}; right would be {', '.join(_DTYPES)}."
            )
        if tensor.size != size:
            raise HerdError(
                f"{folder} has {called} of the shape {tensor.size}, {CONFIG} asks for {size}."
            )
        tensors[name] = tensor
    return tensors


def _mapped(folder: Path) -> dict[str, _Stored]:
    """Every tensor of the directory's files, by Hugging Face's name."""
    if (folder / INDEX).is_file():
        names = sorted(set(read_json(folder / INDEX, _Index).weight_map.values()))
    elif (folder / WEIGHTS).is_file():
        names = [WEIGHTS]
    else:
        raise HerdError(
            f"{folder} has neither {WEIGHTS} nor {INDEX}. Weights in other files, such as "
            "pytorch_model.bin, must be saved as safetensors first."
        )
    tensors: dict[str, _Stored] = {}
    for name in names:
        tensors |= _map_file(folder / name)
    return tensors


def _map_file(path: Path) -> dict[str, _Stored]:
    try:
        with safe_open(path, framework="numpy"), path.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(header_bytes))
    except FileNotFoundError:
        raise HerdError(f"{path} is absent, though {INDEX} names it. Fetch it again.") from None
    except (OSError, SafetensorError) as error:
        raise HerdError(
            f"{path} is not a whole safetensors file ({error}). Fetch it again."
        ) from None
    header.pop("__metadata__", None)
    content = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + header_bytes)
    return {
        name: _Stored(entry["dtype"], tuple(entry["shape"]), content[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def _in_pairs(values: NDArray[np.generic], head_dim: int) -> NDArray[np.generic]:
    """Rows of halves of each head to rows of neighbours."""
    halves = values.reshape(-1, 2, head_dim // 2, values.shape[1])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _floats(values: NDArray[np.generic], dtype: str) -> Matrix:
    if dtype != "BF16":
        return np.asarray(values, dtype=np.float32)
    widened = values.astype("<u4")
    widened <<= 16
    return widened.view("<f4")
