"""The data as training reads it."""

from __future__ import annotations

from dataclasses import dataclass

from models.tuned import Split


@dataclass(frozen=True)
class Example:
    """What a model reads in one go.

    Attributes:
        document: which document or prompt it is of.
        text: what the model sees, as text.
        ids: the same as tokens.
        trained: of each token, whether the loss counts it as a target.
    """

    document: str
    text: str
    ids: tuple[int, ...]
    trained: tuple[bool, ...]


@dataclass(frozen=True)
class Prepared:
    """Both parts of the data.

    Attributes:
        train: what training reads.
        held_out: what it does not.
        split: counts, and what was left out.
        data_sha256: of every example of both parts, in order.
    """

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    split: Split
    data_sha256: str
