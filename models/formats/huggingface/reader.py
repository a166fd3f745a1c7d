"""Reads the weights of Hugging Face directories: safetensors files.

Format: huggingface/safetensors: uint64 header size, a JSON header with type, shape and place of
every tensor, then their bytes; the `safetensors` package checks the header against the file. Files
are mapped into memory, tensors stay on disk until they are asked for.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, Field
from safetensors import SafetensorError, safe_open

from core.errors import HerdError
from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    FINAL_NORM,
    Checkpoint,
    Matrix,
    tensor_shapes,
)
from models.formats.huggingface.config import CONFIG, read_shape
from models.formats.huggingface.json_file import read_json
from models.formats.huggingface.vocabulary_reader import read_vocabulary
from models.formats.model_files import is_there, require_file
from models.formats.unsayable import require_no_pointer, superfluous

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.shape import ModelShape, Weights

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
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


_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_LAYER = re.compile(r"model\.layers\.(?P<layer>\d+)\.")
_HARMLESS = re.compile(r".*\.rotary_emb\.inv_freq")
"""Frequencies that old files also contain, and that transformers ignores as well."""
_COMPARED_BYTES = 16 * 1024 * 1024


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

    def equals(self, other: _Stored) -> bool:
        """Whether another tensor holds the same bytes, compared a part at a time."""
        if (self.dtype, self.size) != (other.dtype, other.size):
            return False
        parts = (
            slice(start, start + _COMPARED_BYTES)
            for start in range(0, len(self.raw), _COMPARED_BYTES)
        )
        return all(np.array_equal(self.raw[part], other.raw[part]) for part in parts)


def read_huggingface(folder: Path) -> Checkpoint:
    """Open a Hugging Face directory.

    Args:
        folder: with `config.json`, `model.safetensors`, or several of them and their index, and a
            vocabulary.

    Raises:
        HerdError: a file is absent or damaged, the architecture is another one, or the intermediate
        representation cannot express what `config.json` asks for.
    """
    shape = read_shape(folder)
    tensors = _tensors(folder, shape)  # first: rows are padded up to what is really there
    tokenizer = read_vocabulary(folder)

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


def huggingface_name(tensor: str) -> str:
    """What Hugging Face calls a tensor, such as `model.layers.0.self_attn.q_proj.weight`."""
    if tensor in _NAMES:
        return _NAMES[tensor]
    _, layer, part = tensor.split(".")
    return f"model.layers.{layer}.{_NAMES[part]}.weight"


def is_permuted(tensor: str, shape: ModelShape) -> bool:
    """Return whether Hugging Face orders the rows of a tensor in another way."""
    return shape.architecture == "llama" and tensor.rpartition(".")[2] in ("q", "k")


def _tensors(folder: Path, shape: ModelShape) -> dict[str, _Stored]:
    """The tensors by their neutral names, all there, of the right shape and a type we read."""
    found = _mapped(folder)
    _require_known(found, shape, folder)
    tensors = {}
    for name, size in tensor_shapes(shape).items():
        tied = name == CLASSIFIER and shape.tied_classifier
        called = huggingface_name(EMBEDDING if tied else name)
        tensor = found.get(called)
        if tensor is None:
            raise HerdError(f"{folder} has no tensor {called}.")
        if tensor.dtype not in _DTYPES:
            raise HerdError(
                f"{folder} has {called} as {tensor.dtype}; it must be {', '.join(_DTYPES)}."
            )
        if tensor.size != size:
            raise HerdError(
                f"{folder} has {called} of shape {tensor.size}, but {CONFIG} requires {size}."
            )
        tensors[name] = tensor
    return tensors


def _mapped(folder: Path) -> dict[str, _Stored]:
    """Every tensor of the directory's files, by Hugging Face's name."""
    adapter = next((name for name in _ADAPTERS if (folder / name).exists()), None)
    if adapter is not None:
        raise HerdError(
            f"{folder} contains a LoRA adapter ({adapter}), which transformers would add to the "
            "model. Merge it first (merge_and_unload of peft) and save the model again."
        )
    indexed, single = is_there(folder / INDEX), is_there(folder / WEIGHTS)
    names = [WEIGHTS] if single else []
    if indexed:
        names = sorted(set(read_json(folder / INDEX, _Index).weight_map.values()))
    if indexed and single and WEIGHTS not in names:
        raise HerdError(
            f"{folder} has both {WEIGHTS} and {INDEX}, which names other files, so it is "
            "unclear which are the weights. Move the outdated one away."
        )
    if not names and not indexed:
        raise HerdError(
            f"{folder} has neither {WEIGHTS} nor {INDEX}. Weights in other files, such as "
            "pytorch_model.bin, must be saved as safetensors first."
        )
    tensors: dict[str, _Stored] = {}
    for name in names:
        more = _map_file(folder / name)
        twice = next(iter(tensors.keys() & more.keys()), None)
        if twice is not None:
            raise HerdError(f"{folder} has the tensor {twice} in two of its files.")
        tensors |= more
    return tensors


def _require_known(found: dict[str, _Stored], shape: ModelShape, folder: Path) -> None:
    """Refuse tensors beyond those that a model of the shape has, and a classifier too many."""
    known = set(map(huggingface_name, tensor_shapes(shape)))
    for name in sorted(found.keys() - known):
        layer = _LAYER.match(name)
        if _HARMLESS.fullmatch(name):
            continue
        raise superfluous(folder, name, layer and layer["layer"], shape)
    embedding, classifier = (found.get(huggingface_name(n)) for n in (EMBEDDING, CLASSIFIER))
    if shape.tied_classifier and embedding and classifier and not embedding.equals(classifier):
        raise HerdError(
            f"{folder} says in its {CONFIG} that the output matrix is the embedding "
            f"(tie_word_embeddings), and has another one in {huggingface_name(CLASSIFIER)}: "
            "these contradict each other. Correct the one or remove the other."
        )


def _map_file(path: Path) -> dict[str, _Stored]:
    require_file(path)
    try:
        with path.open("rb") as file:
            require_no_pointer(path, file.read(64))
        with safe_open(path, framework="numpy"), path.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(header_bytes))
    except (OSError, SafetensorError) as error:
        raise HerdError(
            f"{path} is not a whole safetensors file ({error}). Fetch it again."
        ) from None
    header.pop("__metadata__", None)
    if not header:
        return {}
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
