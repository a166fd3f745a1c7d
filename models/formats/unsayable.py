"""Refuses by name what the intermediate representation cannot express."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import HerdError
from core.foreign import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from models.shape import ModelShape

_POINTER = b"version https://git-lfs"
_LONGEST_SHOWN = 60


def unsayable(path: Path, what: str) -> HerdError:
    """The refusal of a model that would compute something else when written here.

    Args:
        path: the file.
        what: a predicate that names the tensor, key or part, such as "has the bias `x`".
    """
    return HerdError(
        f"{path} {what}. The output formats cannot express that, and the converted model would "
        "compute something else, so nothing was written."
    )


def shown_value(value: object) -> str:
    """A value from a model's file as a message shows it: the beginning, on one line."""
    return one_line(str(value), _LONGEST_SHOWN)


def superfluous(path: Path, name: str, layer: str | None, shape: ModelShape) -> HerdError:
    """The refusal of a tensor that a model of the shape does not have.

    Args:
        path: the file, or the folder.
        name: of the tensor in it.
        layer: the number of the layer that the name gives; None where it gives none.
        shape: the shape that the file states.
    """
    if layer is not None and int(layer) >= shape.layers:
        what = f"has the tensor `{name}` of a layer beyond its {shape.layers}"
    elif name.endswith(".bias"):
        what = f"has the bias `{name}`"
    else:
        what = f"has the tensor `{name}`, which no supported {shape.architecture} model has"
    return unsayable(path, what)


def is_off(value: object) -> bool:
    """Whether a setting says nothing: absent, switched off, or empty."""
    return value is None or value is False or (isinstance(value, str | list | dict) and not value)


def require_no_pointer(path: Path, start: bytes) -> None:
    """Refuse what Git LFS leaves in place of a large file that was not fetched.

    Raises:
        HerdError: the file is such a pointer.
    """
    if start.startswith(_POINTER):
        raise HerdError(
            f"{path} is not the file itself but a Git LFS pointer to it. Run `git lfs pull` in "
            "its folder, or fetch the file again."
        )
