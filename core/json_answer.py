"""What a verb prints with `--json`: one object, whose shape a JSON schema describes.

Each shape is a class here or where its facts are known; `verbs/json_answers.py` lists them all.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class JsonPart(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class JsonAnswer(JsonPart):
    """An answer.

    Attributes:
        version: of its shape. It rises when a field goes or means something else; a new field does
            not raise it.
    """

    version: Literal[1] = 1


def json_text(answer: BaseModel) -> str:
    """Make of an answer one line of JSON in ASCII, which every terminal and program takes."""
    return json.dumps(answer.model_dump(mode="json"))


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """Describe what is printed of a kind of answer, as JSON schema that allows further fields."""
    found: dict[str, Any] = _opened(kind.model_json_schema(mode="serialization"))
    return {"$schema": DIALECT, **found}


def _opened(schema: Any) -> Any:  # noqa: ANN401 - any value of JSON
    """Take out that no other fields may be there, which records on disk demand."""
    if isinstance(schema, list):
        return [_opened(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    is_closed = schema.get("additionalProperties") is False
    return {
        key: _opened(value)
        for key, value in schema.items()
        if not (is_closed and key == "additionalProperties")
    }
