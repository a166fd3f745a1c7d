"""What a client of a swarm is given to train on: as much as one command line holds.

A node takes no files from a training. Examples travel as tokens and the prompts with their moments
as base64, as arguments of `petals-tune` (`roles/petals/files/programs/herd_petals/tune.py`). One
start of it is a job.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import HerdError
from models.tuned_prompts import PIECE_CHARACTERS, pieces

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Example

JOB_BYTES = 1_900_000
"""Of all arguments: a node takes 2,000,000 with the pointers to them."""
STATE_BYTES = 900_000
"""Of a state, at most: as base64 it takes 1.2 MB, and leaves room for examples."""
VALUES_OF_STATE = 3
"""Of a trained number: itself, and AdamW's two averages."""
_WORD_BYTES = 32
"""An option's name and the pointers."""


def trained_numbers(method: str, prompts: int, dim: int, layers: int) -> int:
    """How many numbers a method trains: a vector a position, for `deep` one a layer as well."""
    return prompts * dim * (1 + (layers if method == "petals-deep-ptune" else 0))


def require_small(method: str, prompts: int, dim: int, layers: int, model: str) -> None:
    """Refuse prompts that are too large to travel on a command line.

    Raises:
        HerdError: they are; with what would fit.
    """
    each = 4 * VALUES_OF_STATE * trained_numbers(method, 1, dim, layers)
    most = STATE_BYTES // each
    if prompts > most:
        told = f"at most {most} `prompts`" if most else "the method petals-ptune"
        raise HerdError(
            f"{prompts} prompts of {model} by {method} are {prompts * each} bytes with what AdamW "
            f"remembers, and a client is given {STATE_BYTES} at most: take {told}."
        )


def batch_argument(examples: Sequence[Example], rate: float | None = None) -> str:
    """A batch as the client takes it.

    Args:
        examples: that are read together.
        rate: of learning; None for what is held out.
    """
    told: dict[str, object] = {} if rate is None else {"rate": rate}
    told["examples"] = [
        [list(one.ids), "".join("01"[counts] for counts in one.trained)] for one in examples
    ]
    return json.dumps(told, separators=(",", ":"))


def state_arguments(state: bytes | None) -> tuple[str, ...]:
    """Prompts and their moments; nothing before the first step."""
    return tuple(word for one in pieces(state or b"") for word in ("--state", one))


def require_fitting_batches(examples: Sequence[Example], batch: int) -> None:
    """Refuse batches that a node does not take, before any is trained.

    Raises:
        HerdError: the largest batch that could be drawn is too large; with what to make smaller.
    """
    largest = sorted(examples, key=lambda one: len(batch_argument([one])))[-batch:]
    fitting([batch_argument(largest, rate=1.0)], JOB_BYTES)


def fitting(arguments: Sequence[str], room_bytes: int) -> int:
    """How many of some arguments fit into a job.

    Raises:
        HerdError: not even the first does.
    """
    taken = 0
    for count, argument in enumerate(arguments):
        if len(argument) > PIECE_CHARACTERS:
            raise HerdError(
                f"A batch of {len(argument)} characters is more than a node takes at once "
                f"({PIECE_CHARACTERS}): give a smaller `batch` or `sequence`."
            )
        taken += len(argument) + _WORD_BYTES
        if taken > room_bytes:
            return count
    return len(arguments)


def read_together(examples: Sequence[Example], batch: int) -> list[list[Example]]:
    """Examples in their order, so many at once."""
    return [list(examples[at : at + batch]) for at in range(0, len(examples), batch)]


def room_beside(state: bytes | None) -> int:
    """Bytes of a job that a state leaves for examples."""
    return JOB_BYTES - sum(len(word) + _WORD_BYTES for word in state_arguments(state))
