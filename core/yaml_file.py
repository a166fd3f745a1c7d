"""Reads a YAML file that a user writes and names the line of every mistake in it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from core.errors import HerdError
from core.foreign import one_line
from core.yaml_text import YamlTextError, read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

Document = TypeVar("Document", bound=BaseModel)
Location = tuple[int | str, ...]
HIDDEN = "hidden"
"""Type of a `PydanticCustomError` about a value that may be a secret: it is not shown."""
MOST_MISTAKES = 20
"""The limit of mistakes reported for one file."""
LONGEST_SHOWN = 80
_PLAIN = {
    **dict.fromkeys(("bool_type", "bool_parsing"), "give true or false"),
    **dict.fromkeys(("int_type", "int_parsing"), "give a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "give a number"),
    "too_short": "it has too few values, give at least {min_length}",
    "too_long": "it has too many values, give at most {max_length}",
}
"""What pydantic says about the program, for the writer of a file."""
UNQUOTED = "YAML reads plain yes, no, on and off as true and false: put the word in quotes."


def load_yaml_file(path: Path, document: type[Document], what: str) -> Document:
    """Read `path` as a `document`.

    Args:
        path: the YAML file.
        document: the pydantic model it must follow.
        what: how to name the file in messages, for example "the catalogue of models".

    Raises:
        HerdError: the file cannot be read, is not YAML or does not follow `document`; every mistake
        is listed with file, line, what is wrong and what would be right.
    """
    try:
        root, content = read_yaml(path)
    except OSError as error:
        raise HerdError(f"Could not read {what} {path}: {error.strerror}.") from error
    except YamlTextError as error:
        raise HerdError(
            f"{path}, line {error.line}: {error}. Correct this line of {what}."
        ) from None
    internal = _internal(document) & content.keys() if isinstance(content, dict) else set()
    if internal:
        key = min(internal)
        known = _suggestion(key, _allowed_keys(document, ()))
        raise HerdError(f"{path}, line {_line_of(root, (key,))}: unknown key `{key}`. {known}")
    try:
        return document.model_validate(content)
    except ValidationError as error:
        details = error.errors()
        mistakes = [_describe(path, root, document, one) for one in details[:MOST_MISTAKES]]
        if len(details) > MOST_MISTAKES:
            mistakes.append(f"{path}: and {len(details) - MOST_MISTAKES} more mistakes.")
        raise HerdError("\n".join(mistakes)) from error


def _describe(
    path: Path, root: yaml.Node | None, document: type[BaseModel], detail: ErrorDetails
) -> str:
    location = detail["loc"]
    line = _line_of(root, location)
    where = one_line(".".join(str(part) for part in location), LONGEST_SHOWN) or "the whole file"
    if detail["type"] == "extra_forbidden":
        allowed = _allowed_keys(document, location[:-1])
        key = one_line(str(location[-1]), LONGEST_SHOWN)
        wrong, right = f"unknown key `{key}`", _suggestion(key, allowed)
    elif detail["type"] == "missing":
        wrong, right = f"`{where}` is missing", f"Add `{location[-1]}:`."
    elif detail["type"] in ("model_type", "dict_type"):
        wrong, right = f"`{where}` must be a mapping (lines of `key: value`)", ""
    else:
        plain = _PLAIN.get(detail["type"], "").format_map(detail.get("ctx", {}))
        message = plain or detail["msg"].removeprefix("Value error, ")
        given = detail["input"]
        can_be_shown = isinstance(given, str | int | float | bool) and detail["type"] != HIDDEN
        shown = f" (`{one_line(str(given), LONGEST_SHOWN)}`)" if can_be_shown else ""
        is_word = isinstance(given, bool) and detail["type"] == "string_type"
        wrong, right = f"invalid `{where}`{shown}: {message}", UNQUOTED if is_word else ""
    return f"{path}, line {line}: {wrong}. {right}".strip()


def _suggestion(key: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Known keys are: {', '.join(allowed)}." if allowed else "Remove it."


def line_of(path: Path, keys: Sequence[str | int], value: str) -> int | None:
    """Find the line on which a file has a text below these keys, alone or in a list.

    A key that is a number is a place in a list, from 0.

    Returns:
        None where the file cannot be read, or has another value there.
    """
    try:
        node, _ = read_yaml(path)
    except (OSError, YamlTextError):
        return None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            node = next((inner for name, inner in node.value if name.value == key), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = next(iter(node.value[key : key + 1]), None)
        else:
            return None
    listed = node.value if isinstance(node, yaml.SequenceNode) else [node]
    found = (one for one in listed if isinstance(one, yaml.ScalarNode) and one.value == value)
    return next((one.start_mark.line + 1 for one in found), None)


def key_line(path: Path, *keys: str) -> int:
    """Return the line, from 1, of a key inside other keys; of the deepest one that the file has."""
    try:
        node, _ = read_yaml(path)
    except (OSError, YamlTextError):
        return 1
    return _line_of(node, keys)


def _line_of(node: yaml.Node | None, location: Location) -> int:
    """Line, from 1, of the deepest part of `location` that the file has."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                continue  # pydantic puts names of union members into locations
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _allowed_keys(document: type[BaseModel], location: Location) -> list[str]:
    """Return the keys of the model at `location` inside `document`."""
    current = document
    for part in location:
        field = current.model_fields.get(str(part))
        if field is not None:
            inner = _model_inside(field.annotation)
            if inner is None:
                return []
            current = inner
    internal = _internal(current)
    return [name for name in current.model_fields if name not in internal]


def _internal(document: type[BaseModel]) -> set[str]:
    """Return the fields that the program fills in: none of a file's."""
    return {name for name, field in document.model_fields.items() if field.exclude}


def _model_inside(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_inside(argument)
        if found is not None:
            return found
    return None
