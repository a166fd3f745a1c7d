"""Questions that are put to every system alike, as a user writes them in YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collect.endless import is_endless
from core.yaml_file import load_yaml_file


class _Closed(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=20_000
    )


class AnswerKey(_Closed):
    """What a right answer holds.

    Attributes:
        kind: `exact`: these words, in any case; `regex`: a match of this pattern;
            `numeric`: this number.
        value: words, pattern or number.
        tolerance: how far a number may be off.
    """

    kind: Literal["exact", "regex", "numeric"]
    value: str | float
    tolerance: float = Field(default=0.0, ge=0.0)

    @model_validator(mode="after")
    def _value_is_of_its_kind(self) -> Self:
        if (self.kind == "numeric") != isinstance(self.value, float):
            wanted = "a number" if self.kind == "numeric" else "a text"
            raise ValueError(f"the value of the kind {self.kind} must be {wanted}")
        if self.kind == "regex":
            try:
                re.compile(str(self.value))
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(
                    f"{self.value!r} is not a valid regular expression: {error}"
                ) from None
            if is_endless(str(self.value)):
                raise ValueError(
                    f"{self.value!r} has an unbounded repeat inside another one, or around "
                    "alternatives, which may take forever: bound one of them, as in {1,9}"
                )
        return self


class Question(_Closed):
    """A question.

    Attributes:
        id: short name, which reports show.
        text: in any language; sent as it is.
        topic: what it is about.
        key: what a right answer holds; None where only a reader can judge.
        rubric: what a reader should look at.
    """

    id: Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")]
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    topic: str | None = None
    key: AnswerKey | None = None
    rubric: str | None = None


class QuestionSet(_Closed):
    """A file of questions."""

    title: str
    questions: Annotated[tuple[Question, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = [question.id for question in self.questions]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"two questions have the id {twice[0]}: give each its own")
        return self


def load_questions(path: Path) -> tuple[Question, ...]:
    """Read a file of questions.

    Raises:
        HerdError: no such file, not YAML, or a mistake in it; with file and line.
    """
    return load_yaml_file(path, QuestionSet, "the file of questions").questions
