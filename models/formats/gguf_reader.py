"""Reads GGUF files of architecture `llama` into the neutral form, whatever their quantisation.

Format: ggml-org/ggml, `docs/gguf.md`; read and dequantised by the `gguf` package. Tensors stay on
disk until they are asked for and are dequantised a few rows at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFReader, ReaderTensor
from gguf.quants import dequantize
from pydantic import ValidationError

from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    NORM_EPSILON,
    Checkpoint,
    Matrix,
    tensor_shapes,
)
from models.errors import HerdError
from models.formats.gguf import gguf_name
from models.formats.gguf_vocabulary import read_vocabulary
from models.formats.quantise import GGML_TYPES
from models.shape import ModelShape

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.shape import Weights
    from models.tokenizer import Tokenizer

_VALUES_AT_A_TIME = 8 * 1024 * 1024
_LLAMA3_FREQUENCIES = "rope_freqs.weight"
_WEIGHTS = {kind: weights for weights, kind in GGML_TYPES.items()}


def read_gguf(path: Path) -> Checkpoint:
    """Open a GGUF file.

    Raises:
        HerdError: not GGUF, cut short, not a LLaMA, or something that the neutral form cannot say.
    """
    file = _File(path)
    shape = file.shape()
    tensors = file.tensors(shape)

    def stored(name: str, weights: Weights) -> NDArray[np.uint8] | None:
        tensor = tensors[name]
        return _raw(tensor) if _WEIGHTS.get(tensor.tensor_type) == weights else None

    return Checkpoint(
        shape=shape,
        tokenizer=file.tokenizer(),
        load=lambda name: _dequantised(tensors[name]),
        stored=stored,
    )


class _File:
    """A GGUF file with what a message about it needs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._reader = GGUFReader(path)
        except OSError as error:
            raise HerdError(f"Reading {path}: {error.strerror or error}.") from None
        except (ValueError, IndexError, KeyError, OverflowError) as error:
            raise HerdError(
                f"{path} is not a whole GGUF file ({error}). Fetch or build it again."
            ) from None

    def _value(self, key: str) -> object:
        field = self._reader.get_field(key)
        return None if field is None else field.contents()

    def _number(self, key: str, default: float | None = None) -> float:
        value = self._value(f"llama.{key}")
        if isinstance(value, int | float):
            return value
        if default is None:
            raise self._refusal(f"lacks `llama.{key}`")
        return default

    def _refusal(self, what: str) -> HerdError:
        return HerdError(
            f"{self._path} {what}: only models of the LLaMA architecture can be read from GGUF."
        )

    def shape(self) -> ModelShape:
        """The shape that the file states."""
        architecture = self._value("general.architecture")
        if architecture != "llama":
            raise self._refusal(f"is of the architecture {architecture}")
        scaling = self._value("llama.rope.scaling.type")
        names = {tensor.name for tensor in self._reader.tensors}
        if scaling not in {None, "none"} or _LLAMA3_FREQUENCIES in names:
            raise self._refusal("scales its rotary frequencies")
        if self._number("expert_count", 0):
            raise self._refusal("is a mixture of experts")
        epsilon = self._number("attention.layer_norm_rms_epsilon")
        if not np.isclose(epsilon, NORM_EPSILON, rtol=1e-3):
            raise self._refusal(f"has a norm epsilon of {epsilon:g} instead of {NORM_EPSILON:g}")
        heads, dim = (
            int(self._number("attention.head_count")),
            int(self._number("embedding_length")),
        )
        pieces = self._value("tokenizer.ggml.tokens")
        try:
            return ModelShape(
                dim=dim,
                hidden_dim=int(self._number("feed_forward_length")),
                layers=int(self._number("block_count")),
                heads=heads,
                kv_heads=int(self._number("attention.head_count_kv", heads)),
                head_dim=int(self._number("attention.key_length", dim // max(heads, 1))),
                vocab=len(pieces) if isinstance(pieces, list) else 0,
                context=int(self._number("context_length")),
                tied_classifier=gguf_name(CLASSIFIER) not in names,
                rope_theta=int(self._number("rope.freq_base", 10_000)),
            )
        except ValidationError as error:
            told = "; ".join(str(mistake["msg"]) for mistake in error.errors())
            raise HerdError(f"{self._path} has a shape that cannot be: {told}.") from None

    def tensors(self, shape: ModelShape) -> dict[str, ReaderTensor]:
        """The tensors by their neutral names, all there and of the right shape."""
        found = {tensor.name: tensor for tensor in self._reader.tensors}
        tensors = {}
        for name, size in tensor_shapes(shape).items():
            tied = name == CLASSIFIER and shape.tied_classifier
            tensor = found.get(gguf_name(EMBEDDING if tied else name))
            if tensor is None:
                raise HerdError(f"{self._path} lacks the tensor {gguf_name(name)}.")
            there = tuple(int(length) for length in reversed(tensor.shape))
            if there != size:
                raise HerdError(
                    f"{self._path} has {gguf_name(name)} of the shape {there}, "
                    f"its header asks for {size}."
                )
            tensors[name] = tensor
        return tensors

    def tokenizer(self) -> Tokenizer:
        """The vocabulary."""
        return read_vocabulary(self._value, self._path)


def _raw(tensor: ReaderTensor) -> NDArray[np.uint8]:
    """The bytes of a tensor: uint8 of shape (rows, bytes of a row)."""
    rows = int(np.prod(tensor.shape[1:])) if len(tensor.shape) > 1 else 1
    return np.ascontiguousarray(tensor.data).view(np.uint8).reshape(rows, -1)


def _dequantised(tensor: ReaderTensor) -> Matrix:
    raw = _raw(tensor)
    values = np.empty((raw.shape[0], int(tensor.shape[0])), dtype=np.float32)
    step = max(1, _VALUES_AT_A_TIME // values.shape[1])
    for row in range(0, len(values), step):
        values[row : row + step] = dequantize(raw[row : row + step], tensor.tensor_type)
    return values
