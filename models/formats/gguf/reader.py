"""Reads GGUF files of LLaMA and Qwen3 models, in any quantisation.

Tensors stay on disk until they are asked for and are dequantised a few rows at a time. Anything in
a file that the intermediate representation cannot express is refused by name
(`models.formats.gguf.known`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf.quants import dequantize
from pydantic import ValidationError

from core.errors import HerdError
from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    Checkpoint,
    Matrix,
    tensor_shapes,
)
from models.formats.gguf.header import StoredTensor, read_header
from models.formats.gguf.known import (
    require_fitting_keys,
    require_known_keys,
    require_known_tensors,
    require_whole,
)
from models.formats.gguf.vocabulary import read_vocabulary
from models.formats.gguf.writer import ROPE_DIVISORS, gguf_name
from models.formats.quantise import GGML_TYPES
from models.formats.unsayable import unsayable
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
        HerdError: not GGUF, cut short, another architecture, or something that the intermediate
        representation cannot express.
    """
    file = _File(path)
    tokenizer = file.tokenizer()
    shape = file.shape(len(tokenizer.pieces))
    tensors = file.tensors(shape)

    def stored(name: str, weights: Weights) -> NDArray[np.uint8] | None:
        tensor = tensors[name]
        return tensor.raw if _WEIGHTS.get(tensor.kind) == weights else None

    return Checkpoint(
        shape=shape,
        tokenizer=tokenizer.with_rows(shape.vocab, path),
        load=lambda name: _dequantised(tensors[name]),
        stored=stored,
    )


class _File:
    """A GGUF file with what a message about it needs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        header = read_header(path)
        self._values, self._tensors = header.values, header.tensors
        require_whole(self._values, path)
        named = self._values.get("general.architecture")
        architecture = _ARCHITECTURES.get(named)
        if named is None:
            raise self._refusal("names no architecture (`general.architecture`)")
        if architecture is None:
            raise self._refusal(f"is of the architecture {named}")
        self._architecture: Architecture = architecture
        if self._values.get(f"{architecture}.expert_count"):
            raise self._refusal("is a mixture of experts")
        require_known_keys(self._values, architecture, path)

    def _number(self, key: str, default: float | None = None) -> float:
        name = f"{self._architecture}.{key}"
        value = self._values.get(name, default)
        if isinstance(value, list) and len(set(value)) == 1:
            value = value[0]  # for each layer the same
        if value is None:
            raise HerdError(f"{self._path} has no `{name}`.")
        if isinstance(value, list):
            raise unsayable(self._path, f"has `{name}` values that differ between layers")
        if not isinstance(value, int | float):
            raise HerdError(f"{self._path} has `{name}` {value!r}, which is not a number.")
        return value

    def _count(self, key: str, default: int | None = None) -> int:
        number = self._number(key, default)
        if isinstance(number, float) and not number.is_integer():  # as NaN and infinity
            raise unsayable(
                self._path,
                f"has `{self._architecture}.{key}` {number:g}, which is not a whole number",
            )
        return int(number)

    def _refusal(self, what: str) -> HerdError:
        return HerdError(
            f"{self._path} {what}: only LLaMA and Qwen3 models without experts can be read from "
            "GGUF."
        )

    def shape(self, pieces: int) -> ModelShape:
        """The shape that the file states, of a vocabulary of so many pieces."""
        heads, dim = self._count("attention.head_count"), self._count("embedding_length")
        embedding = self._tensors.get(gguf_name(EMBEDDING))
        try:
            shape = ModelShape(
                dim=dim,
                hidden_dim=self._count("feed_forward_length"),
                layers=self._count("block_count"),
                heads=heads,
                kv_heads=self._count("attention.head_count_kv", heads),
                head_dim=self._count("attention.key_length", dim // max(heads, 1)),
                vocab=pieces if embedding is None else embedding.size[0],
                context=self._count("context_length"),
                tied_classifier=gguf_name(CLASSIFIER) not in self._tensors,
                rope_theta=self._count("rope.freq_base", 10_000),
                architecture=self._architecture,
                norm_epsilon=self._epsilon(),
            )
        except ValidationError as error:
            raise HerdError(f"{self._path} has an impossible shape: {mistakes(error)}.") from None
        require_fitting_keys(self._values, shape, pieces, self._path)
        require_known_tensors(self._tensors, shape, self._path)
        return shape.model_copy(update={"rope_scaling": self._rope_scaling(shape)})

    def _epsilon(self) -> float:
        """The epsilon of the norms, which a file holds in float32."""
        epsilon = self._number("attention.layer_norm_rms_epsilon")
        known = (known for known in NORM_EPSILONS if np.isclose(epsilon, known, rtol=1e-3, atol=0))
        return next(known, epsilon)

    def _rope_scaling(self, shape: ModelShape) -> RopeScaling | None:
        """The scaling whose divisors the file holds.

        A file has the divisors, not what they come from: Llama 3.1's and 3.2's numbers are tried.
        """
        if ROPE_DIVISORS not in self._tensors:
            return None
        divisors = _dequantised(self._tensors[ROPE_DIVISORS]).ravel()
        largest = float(divisors.max())
        scaling = RopeScaling(
            factor=max(1, round(largest)) if np.isfinite(largest) else 1,
            low_frequency_factor=1,
            high_frequency_factor=4,
            original_context=8192,
        )
        scaled = shape.model_copy(update={"rope_scaling": scaling})
        expected = frequency_divisors(scaled)
        if divisors.shape != expected.shape or not np.allclose(divisors, expected, rtol=1e-5):
            raise unsayable(
                self._path,
                f"scales its rotary frequencies ({ROPE_DIVISORS}) differently from Llama 3.1 "
                "and 3.2",
            )
        return scaling

    def tensors(self, shape: ModelShape) -> dict[str, StoredTensor]:
        """The tensors by their neutral names, all there and of the right shape."""
        tensors = {}
        for name, size in tensor_shapes(shape).items():
            tied = name == CLASSIFIER and shape.tied_classifier
            called = gguf_name(EMBEDDING if tied else name)
            tensor = self._tensors.get(called)
            if tensor is None:
                raise HerdError(f"{self._path} has no tensor {called}.")
            if tensor.size != size:
                raise HerdError(
                    f"{self._path} has {called} of shape {tensor.size}, but its header requires "
                    f"{size}."
                )
            tensors[name] = tensor
        return tensors

    def tokenizer(self) -> Tokenizer:
        """The vocabulary."""
        return read_vocabulary(self._values.get, self._path)


def _dequantised(tensor: StoredTensor) -> Matrix:
    values = np.empty((len(tensor.raw), tensor.size[-1]), dtype=np.float32)
    step = max(1, _VALUES_AT_A_TIME // values.shape[1])
    with np.errstate(
        invalid="ignore", over="ignore"
    ):  # scales that are no numbers stay as they are
        for row in range(0, len(values), step):
            values[row : row + step] = dequantize(tensor.raw[row : row + step], tensor.kind)
    return values
