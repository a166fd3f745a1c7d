"""A recipe: which model is fine-tuned on what, and how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from core.errors import HerdError
from core.record import Record, Words
from core.yaml_file import key_line, load_yaml_file
from models.tuned import Method

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
Target = Literal["q", "k", "v", "o", "gate", "up", "down"]


class Columns(Record):
    """Which columns of the data are what; one of the three ways.

    Attributes:
        text: a document.
        prompt: what is asked. No loss is computed on it.
        response: what is to be answered.
        messages: a conversation, a list of {role, content}; loss on the assistant's turns.
    """

    text: str | None = None
    prompt: str | None = None
    response: str | None = None
    messages: str | None = None

    @model_validator(mode="after")
    def _names_one_way(self) -> Self:
        pair = (self.prompt is not None, self.response is not None)
        ways = [self.text is not None, any(pair), self.messages is not None]
        if sum(ways) != 1 or any(pair) != all(pair):
            raise ValueError("name either `text`, or `prompt` and `response`, or `messages`")
        if all(pair) and self.prompt == self.response:
            raise ValueError("`prompt` and `response` must be two columns")
        return self


class Recipe(Record):
    """What the user asks of `fab finetune`.

    Attributes:
        name: of the tuned model in the catalogue.
        model: the base, as the catalogue calls it.
        method: `lora`, `full`, `petals-ptune`, `petals-deep-ptune`.
        data: a file, a folder, or a name of `experiments/finetunes/data.yml`.
        columns: which columns of JSONL, JSON, CSV and Parquet are what; None for plain text.
        chat_template: how questions and answers are written out: `model` as the model says, or a
            named one for models that do not say, as in a matrix.
        held_out: share of documents that training does not see.
        steps: optimiser steps; or `epochs`.
        epochs: passes over the data; or `steps`.
        batch: examples a step.
        learning_rate: at its highest; warms up over a tenth of the steps, then falls by a cosine.
        rank: of LoRA's matrices; alpha is twice that.
        targets: which matrices LoRA changes.
        prompts: trained positions before a text (`pre_seq_len`), for petals-*.
        sequence: tokens of an example at most.
        seed: of the split, the order and the adapter's first values.
        evaluate_every: steps between evaluations of the held-out part; a checkpoint each.
        file: where it was read from.
    """

    name: str
    model: Words
    method: Method = "lora"
    data: Annotated[Words, Field(min_length=1)]
    columns: Columns | None = None
    chat_template: Literal["model", "llama2", "llama3"] = "model"
    held_out: Annotated[float, Field(gt=0.0, le=0.5, allow_inf_nan=False)] = 0.1
    steps: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    epochs: Annotated[float, Field(gt=0.0, le=1000.0, allow_inf_nan=False)] | None = None
    batch: Annotated[int, Field(strict=True, ge=1, le=4096)] = 8
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = 2e-4
    rank: Annotated[int, Field(strict=True, ge=1, le=1024)] = 8
    targets: Annotated[tuple[Target, ...], Field(min_length=1)] = ("q", "k", "v", "o")
    prompts: Annotated[int, Field(strict=True, ge=1, le=256)] = 8
    sequence: Annotated[int, Field(strict=True, ge=8, le=32_768)] = 256
    seed: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] = 1
    evaluate_every: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 50
    file: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            told = ": neither is there" if self.steps is None else ", not both"
            raise ValueError(f"write either `steps` or `epochs`{told}")
        return self

    @field_validator("name")
    @classmethod
    def _names_a_model(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                "use lower-case letters a to z, digits, `.`, `_` and `-`, a letter or digit first, "
                "at most 64 of all"
            )
        return name

    @field_validator("targets")
    @classmethod
    def _names_each_once(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        twice = next((name for name in targets if targets.count(name) > 1), None)
        if twice:
            raise ValueError(f"it names {twice} twice")
        return targets


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        HerdError: no such file, no YAML, an unknown key or value; with file and line.
    """
    recipe = load_yaml_file(path, Recipe, "the recipe").model_copy(update={"file": str(path)})
    for key, methods in _ONLY_FOR.items():
        if key in recipe.model_fields_set and recipe.method not in methods:
            raise recipe_mistake(
                recipe,
                key,
                f"says nothing with `method: {recipe.method}`, only with {' or '.join(methods)}. "
                "Delete it, or change `method`",
            )
    return recipe


def recipe_mistake(recipe: Recipe, key: str, wrong: str) -> HerdError:
    """What to raise for a value of a recipe.

    Args:
        recipe: as `load_recipe` read it.
        key: whose value it is.
        wrong: what is wrong and what would be right; follows the key, without a full stop.
    """
    return HerdError(f"{recipe.file}, line {key_line(Path(recipe.file), key)}: `{key}` {wrong}.")


_ONLY_FOR: dict[str, tuple[Method, ...]] = {
    "rank": ("lora",),
    "targets": ("lora",),
    "prompts": ("petals-ptune", "petals-deep-ptune"),
}
"""Keys that only some methods read."""
