"""Bases and recipes for what is read before training, without weights."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from experiments.finetune.recipe import Recipe
from models.catalogue import ModelSpec
from models.formats.huggingface.vocabulary_writer import write_vocabulary
from models.shape import ModelShape
from models.synthetic import synthetic_tokenizer
from tests.doubles.vocabularies import byte_level

CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SHAPE = ModelShape(
    dim=32, hidden_dim=64, layers=1, heads=4, kv_heads=4, head_dim=8, vocab=512, context=256
)


@cache
def base_folder(kind: str = "sentencepiece") -> Path:
    """The vocabulary of a base: LLaMA 2's kind without a chat template, or ChatML's kind."""
    folder = Path(mkdtemp(prefix="base-"))
    tokenizer = (
        synthetic_tokenizer(512)
        if kind == "sentencepiece"
        else replace(byte_level(), chat_template=CHAT)
    )
    write_vocabulary(tokenizer, folder)
    return folder


def spec(name: str = "stories15m") -> ModelSpec:
    """What the catalogue would say of the base."""
    return ModelSpec(name=name, shape=SHAPE, licence="", source="", about="")


def recipe(folder: Path, data: str, **values: object) -> Recipe:
    """A recipe that stands in a folder, next to its data."""
    given = {"name": "tuned", "model": "stories15m", "steps": 5, "sequence": 32} | values
    made = Recipe.model_validate({"data": data} | given)
    return made.model_copy(update={"file": str(folder / "recipe.yml")})


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows, one a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
