"""Where a person wrote the value of an axis: for messages about cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from core.paths import PROJECT_FOLDER
from core.record import Scalar
from core.yaml_file import line_of
from experiments.planning.axes import SYSTEM


def where_named(
    file: str, systems_file: str, axes: Collection[str], axis: str, params: Mapping[str, Scalar]
) -> str:
    """The file and line that name the value of a cell on an axis, or the flag.

    Args:
        file: of the matrix.
        systems_file: of its systems, relative to the project.
        axes: that the matrix names; another one comes from the cell's system.
        axis: by name.
        params: of the cell, as they are written.
    """
    keys: tuple[str, ...] = ("axes", axis)
    path, otherwise = Path(file), f"--set {axis}"
    if axis not in axes:
        path = PROJECT_FOLDER / systems_file
        keys, otherwise = ("systems", str(params[SYSTEM.name]), *keys), str(path)
    line = line_of(path, keys, str(params[axis]))
    return f"{path}, line {line}" if line else otherwise
