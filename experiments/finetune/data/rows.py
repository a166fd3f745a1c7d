"""Makes documents of the rows of JSONL, JSON, CSV and Parquet, by the columns of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from experiments.finetune.data.documents import ROLES, Document, Role, Turn, text_fault, turns_fault

if TYPE_CHECKING:
    from experiments.finetune.recipe import Columns

_MOST_TURNS = 200
_NAMED = 12


class RowError(ValueError):
    """A row is no document; says why, without a full stop."""


def document_of(row: Mapping[str, object], columns: Columns, place: str) -> Document:
    """The document in a row; columns that the recipe does not name are left aside.

    Raises:
        RowError: a column is missing, of another type or empty.
    """
    if columns.text is not None:
        return Document(place, text=_text(row, columns.text))
    if columns.messages is not None:
        return Document(place, turns=_conversation(row, columns.messages))
    prompt, response = str(columns.prompt), str(columns.response)
    return Document(
        place, turns=(Turn("user", _text(row, prompt)), Turn("assistant", _text(row, response)))
    )


def named_columns(columns: Columns) -> tuple[str, ...]:
    """The columns that the recipe names."""
    named = (columns.text, columns.prompt, columns.response, columns.messages)
    return tuple(column for column in named if column is not None)


def lacking(columns: Columns, there: object) -> str | None:
    """Which column of the recipe is not among those that are there; None if all are."""
    has = [str(name) for name in there] if isinstance(there, list | tuple) else []
    for column in named_columns(columns):
        if column not in has:
            listed = ", ".join(has[:_NAMED]) + (" …" if len(has) > _NAMED else "")
            return f"there is no column `{column}`; there are: {listed or 'none'}"
    return None


def _text(row: Mapping[str, object], column: str) -> str:
    if column not in row:
        raise RowError(str(lacking_one(row, column)))
    value = row[column]
    if not isinstance(value, str):
        raise RowError(f"`{column}` must be a text, but it is {_kind(value)}")
    if wrong := text_fault(value):
        raise RowError(f"`{column}`: {wrong}")
    return value


def lacking_one(row: Mapping[str, object], column: str) -> str:
    """Say that a row lacks a column, and what it has."""
    there = ", ".join(list(row)[:_NAMED]) or "nothing"
    return f"it has no `{column}`, which `columns` names, only {there}"


def _conversation(row: Mapping[str, object], column: str) -> tuple[Turn, ...]:
    if column not in row:
        raise RowError(lacking_one(row, column))
    listed = row[column]
    if not isinstance(listed, list):
        raise RowError(f"`{column}` must be a list of messages, but it is {_kind(listed)}")
    if len(listed) > _MOST_TURNS:
        raise RowError(f"`{column}` has {len(listed)} messages; at most {_MOST_TURNS} are read")
    turns = tuple(_turn(one, f"`{column}`, message {n}") for n, one in enumerate(listed, 1))
    if wrong := turns_fault(turns):
        raise RowError(f"`{column}`: {wrong}")
    return turns


def _turn(message: object, where: str) -> Turn:
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        told = ", ".join(map(str, message)) if isinstance(message, dict) else _kind(message)
        raise RowError(f"{where} must have `role` and `content` and nothing else; it has {told}")
    role, text = message["role"], message["content"]
    if role not in ROLES:
        raise RowError(f"{where}: the role must be {', '.join(ROLES)}, but it is {role!r}")
    if not isinstance(text, str):
        raise RowError(f"{where}: `content` must be a text, but it is {_kind(text)}")
    if wrong := text_fault(text):
        raise RowError(f"{where}: {wrong}")
    return Turn(cast("Role", role), text)


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list"}
    names |= {str: "a text", dict: "an object", type(None): "null"}
    return names.get(type(value), f"of the type {type(value).__name__}")
