"""Sizes of the models that published tables name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.yaml_file import load_yaml_file
from models.shape import ModelShape

OF_NO_SIZE = re.compile(r"(instruct|chat|base|it|hf|3t|gguf|q\d(k[sml]?|\d)?|f16|f32|bf16|km?)+$")
"""Ends of names that change nothing of the sizes."""
SHAPES_FILE = Path(__file__).with_name("shapes.yml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Strict):
    names: tuple[str, ...]
    shape: ModelShape


class _Shapes(_Strict):
    models: tuple[_Named, ...]


def shape_named(name: str) -> ModelShape | None:
    """The sizes of a model, by a name as people write it; None for one that is not known.

    What follows the size in a name, such as `Instruct` or `Q40`, changes no sizes.
    """
    return _by_name().get(_plain(name))


@cache
def _by_name() -> dict[str, ModelShape]:
    known = load_yaml_file(SHAPES_FILE, _Shapes, "the table of shapes")
    return {_plain(name): model.shape for model in known.models for name in model.names}


def _plain(name: str) -> str:
    bare = re.sub(r"[^a-z0-9.]", "", name.lower())
    return re.sub(OF_NO_SIZE, "", bare) or bare
