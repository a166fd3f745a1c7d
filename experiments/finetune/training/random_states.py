"""The random states of Python, numpy and PyTorch, as tensors that a checkpoint can hold."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

PYTHON_STATE = "random.python"
"""Its last value is no number where Python has none."""
_NUMPY, _TORCH, _CUDA = "random.numpy", "random.torch", "random.cuda"
_NUMPY_WORDS = 624


def seed_all(torch: Any, seed: int) -> None:  # noqa: ANN401 - PyTorch's types are not read here
    """Set all of them."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from this state
    torch.manual_seed(seed)


def random_states(torch: Any) -> dict[str, Any]:  # noqa: ANN401
    """All of them; whole numbers below 2^32 are exact in float64."""
    _version, words, next_gauss = random.getstate()
    _name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    found = {
        PYTHON_STATE: torch.tensor(
            [*words, math.nan if next_gauss is None else next_gauss], dtype=torch.float64
        ),
        _NUMPY: torch.tensor([*map(int, keys), position, has_gauss, gauss], dtype=torch.float64),
        _TORCH: torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        found[_CUDA] = torch.cuda.get_rng_state()
    return found


def restore_random_states(torch: Any, found: dict[str, Any]) -> None:  # noqa: ANN401
    """Set them to what `random_states` gave."""
    *words, next_gauss = found[PYTHON_STATE].tolist()
    random.setstate((3, tuple(map(int, words)), None if math.isnan(next_gauss) else next_gauss))
    numbers = found[_NUMPY].tolist()
    keys = np.array(numbers[:_NUMPY_WORDS], dtype=np.uint32)
    position, has_gauss, gauss = numbers[_NUMPY_WORDS:]
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))  # noqa: NPY002
    torch.set_rng_state(found[_TORCH])
    if _CUDA in found:
        torch.cuda.set_rng_state(found[_CUDA])
