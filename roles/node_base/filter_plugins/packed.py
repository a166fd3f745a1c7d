"""Filter that makes one file of the modules of a program."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from functools import cache
from pathlib import Path

FILES = Path(__file__).resolve().parents[1] / "files"
SOURCE = FILES.parents[2] / "core" / "packing.py"


@cache
def packed(package: str) -> str:
    """A package of this role's files, as `core.packing` packs it.

    That is loaded by its path, because Ansible may use its own Python.
    """
    program: str = runpy.run_path(str(SOURCE))["packed"](package, FILES / package)
    return program


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Names in templates."""
        return {"herd_packed": packed}
