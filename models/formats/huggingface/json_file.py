"""Reads the JSON files of a model that was published by others."""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from core.errors import HerdError
from models.formats.model_files import read_small

if TYPE_CHECKING:
    from pathlib import Path

_File = TypeVar("_File", bound=BaseModel)
_TOO_LARGE = ("recursion limit exceeded", "number out of range")
"""Messages of the parser for a complete file that exceeds its limits."""


def read_object(path: Path) -> dict[str, object]:
    """All that a JSON file says.

    Raises:
        HerdError: it cannot be read, or is no JSON object.
    """
    content = read_small(path)
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in content[:2]:
        raise HerdError(
            f"{path} is UTF-16 text, as Windows PowerShell writes it. Save the file as UTF-8."
        )
    try:
        stated = from_json(content.removeprefix(BOM_UTF8))
    except ValueError as error:
        if any(words in str(error) for words in _TOO_LARGE):
            raise HerdError(
                f"{path} cannot be read ({error}): this is not a file of a model."
            ) from None
        raise HerdError(
            f"{path} is not a complete JSON file ({error}): it is damaged. Fetch the file again."
        ) from None
    if not isinstance(stated, dict):
        raise HerdError(f"{path} is not a JSON object: it must be `{{…}}` with names.")
    return stated


def read_json(path: Path, kind: type[_File]) -> _File:
    """The parts of a JSON file that `kind` names; all others are left aside.

    Raises:
        HerdError: as `read_object`, or a part is not what `kind` says.
    """
    return as_kind(read_object(path), kind, path)


def as_kind(stated: dict[str, object], kind: type[_File], path: Path) -> _File:
    """What a JSON file says, in the form of `kind`.

    Raises:
        HerdError: a part is not what `kind` says. That is no damage, but a form not known here.
    """
    try:
        return kind.model_validate(stated)
    except ValidationError as error:
        mistake = error.errors()[0]
        where = ".".join(str(part) for part in mistake["loc"] if not _is_kind(part)) or "the file"
        if mistake["type"] == "missing":
            raise HerdError(f"{path} has no `{where}`.") from None
        what = mistake["msg"].partition(" or instance of ")[0]
        raise HerdError(f"{path} has `{where}` in an unsupported form: {what}.") from None


def _is_kind(part: str | int) -> bool:
    """Whether a part of a place is not a name in the file but the form that was tried there."""
    return part in {"int", "str", "Added"} or "[" in str(part)
