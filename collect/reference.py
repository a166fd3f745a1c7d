"""The reference's texts on disk: `results/<run>/reference.json`, written with `run.json`.

It is made once, on the controller, when a run with a greedy workload begins. So a report needs
no model.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.foreign import Count
from core.record import Number, Record, Words

REFERENCE_FILE = "reference.json"


class ReferenceText(Record):
    """The greedy continuation of a prompt.

    Attributes:
        pieces: what each token adds to the text, in order.
        compared: how many of them count: those before the first that is no text. Engines print
        special tokens each in its own way.
        margins: of each token, how much larger its logit is than the next one's; where that is
            small, rounding may decide otherwise.
    """

    pieces: tuple[str, ...]
    compared: Count
    margins: tuple[Number, ...]

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if len(self.margins) != len(self.pieces) or self.compared > len(self.pieces):
            raise ValueError(
                f"{len(self.pieces)} pieces, {len(self.margins)} margins and {self.compared} to "
                "compare do not go together"
            )
        return self


LogProbability = Annotated[float, Field(strict=True, le=0.001)]
"""Natural logarithm, of at most 1 but for rounding."""


class ReferenceSays(Record):
    """What a model says with one type of weights.

    Attributes:
        continuations: of each prompt, in the order of the workload.
        scored: natural logarithm of the probability of each token of the text but the first,
            beginning-of-text; in this order.
    """

    continuations: tuple[ReferenceText, ...]
    scored: tuple[LogProbability, ...]


class References(Record):
    """What each model says, by model and type of weights."""

    schema_version: Literal[1] = 1
    models: dict[Words, dict[Words, ReferenceSays]]

    def of(self, model: str, weights: str) -> ReferenceSays | None:
        """What a model says with these weights; None if it was not asked."""
        return self.models.get(model, {}).get(weights)

    def lacks(self, model: str, weights: str) -> bool:
        """Whether it was not asked what a model says with these weights, or with float32."""
        return not {"f32", weights} <= self.models.get(model, {}).keys()

    def with_more(self, more: References) -> References:
        """Both together; what was said first stays."""
        models = {
            model: {**more.models.get(model, {}), **self.models.get(model, {})}
            for model in dict.fromkeys((*self.models, *more.models))
        }
        return References(models=models)
