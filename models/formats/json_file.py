"""Reads the JSON files of a model that was published by others."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import HerdError

if TYPE_CHECKING:
    from pathlib import Path

_File = TypeVar("_File", bound=BaseModel)


def read_json(path: Path, kind: type[_File]) -> _File:
    """The parts of a JSON file that `kind` names; all others are left aside.

    Raises:
        HerdError: it cannot be read, is no JSON, or a part is not what `kind` says.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise HerdError(f"Reading {path}: {error.strerror or error}.") from None
    except ValidationError as error:
        mistake = error.errors()[0]
        where = ".".join(map(str, mistake["loc"])) or "the file"
        raise HerdError(
            f"{path} cannot be read: {where}: {mistake['msg']}. Fetch the file again."
        ) from None
