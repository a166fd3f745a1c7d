"""Reads the JSON files of a model that was published by others."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from models.errors import HerdError
from models.formats.unsayable import require_no_pointer

if TYPE_CHECKING:
    from pathlib import Path

_File = TypeVar("_File", bound=BaseModel)


def read_object(path: Path) -> dict[str, object]:
    """All that a JSON file says.

    Raises:
        HerdError: it cannot be read, or is no JSON object.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HerdError(f"Reading {path}: {error.strerror or error}.") from None
    require_no_pointer(path, content[:64])
    try:
        stated = from_json(content)
    except ValueError as error:
        raise HerdError(
            f"{path} is no whole JSON file ({error}): it is damaged. Fetch the file again."
        ) from None
    if not isinstance(stated, dict):
        raise HerdError(f"{path} holds no JSON object; right would be `{{…}}` with names.")
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
        what = mistake["msg"].partition(" or instance of ")[0]
        raise HerdError(f"{path} has `{where}` in a form that is not known here: {what}.") from None


def _is_kind(part: str | int) -> bool:
    """Whether a part of a place is not a name in the file but the form that was tried there."""
    return part in {"int", "str", "Added"} or "[" in str(part)
