"""The intermediate representation of a model, between every source and every format.

Matrices are row-major `[out, in]`, float32. The rows of `q` and `k` are in the order in which the
architecture's rotary embedding turns them in both engines, so that files of the engines need no
permutation: `llama` turns neighbours (values 2i and 2i+1 of a head), as llama2.c, GGUF and `.m`
have it; `qwen3` turns halves (values i and i + head_dim/2). Hugging Face keeps halves for both, so
its `llama` rows are permuted on the way in and back on the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.shape import ModelShape, Weights
    from models.tokenizer import Tokenizer

Matrix = NDArray[np.float32]
TensorLoader = Callable[[str], Matrix]
StoredLoader = Callable[[str, "Weights"], NDArray[np.uint8] | None]

EMBEDDING = "embedding"
FINAL_NORM = "final_norm"
CLASSIFIER = "classifier"


@dataclass(frozen=True)
class Checkpoint:
    """A model in the intermediate representation; tensors are loaded one at a time.

    Attributes:
        shape: its sizes.
        tokenizer: its vocabulary, `shape.vocab` pieces.
        load: gives the tensor of a name of `tensor_shapes(shape)`.
        stored: gives its bytes as `models.formats.quantise.pack` does, where the source holds
            that type of weights already; else None. So nothing is quantised twice.
    """

    shape: ModelShape
    tokenizer: Tokenizer
    load: TensorLoader
    stored: StoredLoader = lambda _name, _weights: None

    def tensor(self, name: str) -> Matrix:
        """The tensor called `name`, with the shape that `tensor_shapes` promises."""
        return self.load(name).reshape(tensor_shapes(self.shape)[name])


def layer_tensor(layer: int, part: str) -> str:
    """Name of a layer's tensor, for example `layers.0.q`."""
    return f"layers.{layer}.{part}"


def tensor_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a model; matrices are `[out, in]`."""
    parts: dict[str, tuple[int, ...]] = {
        "q": (shape.q_dim, shape.dim),
        "k": (shape.kv_dim, shape.dim),
        "v": (shape.kv_dim, shape.dim),
        "o": (shape.dim, shape.q_dim),
        "gate": (shape.hidden_dim, shape.dim),
        "down": (shape.dim, shape.hidden_dim),
        "up": (shape.hidden_dim, shape.dim),
        "attention_norm": (shape.dim,),
        "ffn_norm": (shape.dim,),
    }
    if shape.has_head_norms:
        parts |= {"q_norm": (shape.head_dim,), "k_norm": (shape.head_dim,)}
    tensors: dict[str, tuple[int, ...]] = {EMBEDDING: (shape.vocab, shape.dim)}
    for layer in range(shape.layers):
        tensors.update({layer_tensor(layer, part): size for part, size in parts.items()})
    tensors[FINAL_NORM] = (shape.dim,)
    tensors[CLASSIFIER] = (shape.vocab, shape.dim)
    return tensors
