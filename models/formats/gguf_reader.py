"""Reads GGUF files of LLaMA and Qwen3 models into the neutral form, whatever their quantisation.

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
    Checkpoint,
    Matrix,
    tensor_shapes,
)
from models.errors import HerdError
from models.formats.gguf import ROPE_DIVISORS, gguf_name
from models.formats.gguf_vocabulary import read_vocabulary
from models.formats.quantise import GGML_TYPES
from models.rope import frequency_divisors
from models.shape import NORM_EPSILONS, Architecture, ModelShape, RopeScaling, mistakes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.shape import Weights
    from models.tokenizer import Tokenizer

_VALUES_AT_A_TIME = 256 * 1024
_ARCHITECTURES: dict[object, Architecture] = {"llama": "llama", "qwen3": "qwen3"}
_WEIGHTS = {kind: weights for weights, kind in GGML_TYPES.items()}


def read_gguf(path: Path) -> Checkpoint:
    """Open a GGUF file.

    Raises:
        HerdError: not GGUF, cut short, another architecture, or something that the neutral form
            cannot say.
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
        name = f"{self._value('general.architecture')}.{key}"
        value = self._value(name)
        if isinstance(value, int | float):
            return value
        if default is None:
            raise self._refusal(f"lacks `{name}`")
        return default

    def _refusal(self, what: str) -> HerdError:
        return HerdError(
            f"{self._path} {what}: only LLaMA and Qwen3 models without experts can be read from "
            "GGUF."
        )

    def shape(self) -> ModelShape:
        """The shape that the file states."""
        named = self._value("general.architecture")
        architecture = _ARCHITECTURES.get(named)
        if architecture is None:
            raise self._refusal(f"is of the architecture {named}")
        if self._number("expert_count", 0):
            raise self._refusal("is a mixture of experts")
        names = {tensor.name for tensor in self._reader.tensors}
        heads, dim = (
            int(self._number("attention.head_count")),
            int(self._number("embedding_length")),
        )
        pieces = self._value("tokenizer.ggml.tokens")
        try:
            shape = ModelShape(
                dim=dim,
                hidden_dim=int(self._number("feed_forward_length")),
                layers=int(self._number("block_count")),
                heads=heads,
                kv_heads=int(self._number("attention.head_count_kv", heads)),
                head_dim=int(self._number("attention.key_length", dim // max(heads, 1))),
                vocab=len(pieces) if isinstance(pieces, list) else 0,
                context=int(self._number("context_length")),
                tied_classifier=gguf_name(CLASSIFIER) not in names,
                rope_theta=self._rope_theta(),
                architecture=architecture,
                norm_epsilon=self._epsilon(),
            )
        except ValidationError as error:
            raise HerdError(
                f"{self._path} has a shape that cannot be: {mistakes(error)}."
            ) from None
        return shape.model_copy(update={"rope_scaling": self._rope_scaling(shape)})

    def _rope_theta(self) -> int:
        theta = self._number("rope.freq_base", 10_000)
        if theta != int(theta):
            raise self._refusal(f"has the rotary base {theta:g}, which is no whole number")
        return int(theta)

    def _epsilon(self) -> float:
        """The epsilon of the norms, which a file holds in float32."""
        epsilon = self._number("attention.layer_norm_rms_epsilon")
        known = (known for known in NORM_EPSILONS if np.isclose(epsilon, known, rtol=1e-3, atol=0))
        return next(known, epsilon)

    def _rope_scaling(self, shape: ModelShape) -> RopeScaling | None:
        """The scaling whose divisors the file holds.

        A file has the divisors, not what they come from: Llama 3.1's and 3.2's numbers are tried.
        """
        kind = self._value(f"{shape.architecture}.rope.scaling.type")
        if kind not in {None, "none"}:
            raise self._refusal(f"scales its rotary frequencies in a way not known here ({kind})")
        tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        if ROPE_DIVISORS not in tensors:
            return None
        divisors = np.asarray(tensors[ROPE_DIVISORS].data, dtype=np.float32)
        scaling = RopeScaling(
            factor=max(1, round(float(divisors.max()))),
            low_frequency_factor=1,
            high_frequency_factor=4,
            original_context=8192,
        )
        scaled = shape.model_copy(update={"rope_scaling": scaling})
        expected = frequency_divisors(scaled)
        if divisors.shape != expected.shape or not np.allclose(divisors, expected, rtol=1e-5):
            raise self._refusal("scales its rotary frequencies otherwise than Llama 3.1 and 3.2 do")
        return scaling

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
