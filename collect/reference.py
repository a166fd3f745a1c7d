"""What the plain reference says, on disk: `results/<run>/reference.json`, written with `run.json`.

It is made once, on the controller, when a run with a greedy workload begins. So a report needs
no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from collect.errors import HerdError
from collect.run import Record

REFERENCE_FILE = "reference.json"


class ReferenceText(Record):
    """The greedy continuation of a prompt.

    Attributes:
        pieces: what each token adds to the text, in order.
        compared: how many of them count: those before the first that is no text. Engines print
            signs between texts each in its own way.
        margins: of each token, how much larger its logit is than the next one's; where that is
            small, rounding may decide otherwise.
    """

    pieces: tuple[str, ...]
    compared: int
    margins: tuple[float, ...]


class ReferenceSays(Record):
    """What a model says with one type of weights.

    Attributes:
        continuations: of each prompt, in the order of the workload.
        scored: natural logarithm of the probability of each token of the text but the first,
            beginning-of-text; in this order.
    """

    continuations: tuple[ReferenceText, ...]
    scored: tuple[float, ...]


class References(Record):
    """What each model says, by model and type of weights."""

    schema_version: Literal[1] = 1
    models: dict[str, dict[str, ReferenceSays]]

    def of(self, model: str, weights: str) -> ReferenceSays | None:
        """What a model says with these weights; None if it was not asked."""
        return self.models.get(model, {}).get(weights)


def load_references(folder: Path) -> References:
    """Read what the texts of a greedy run are held against.

    Raises:
        HerdError: the file is gone or damaged.
    """
    path = folder / REFERENCE_FILE
    try:
        return References.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise HerdError(
            f"Reading the run {folder.name}: {path} is gone, which says what the engines should "
            "have said. Restore it, or move the folder away and run again."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise HerdError(
            f"Reading the run {folder.name}: {path} is damaged "
            f"({'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}). Restore it, or "
            "move the folder away and run again."
        ) from None
