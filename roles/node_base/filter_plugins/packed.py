"""Filter that makes one file of the modules of a program."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

FILES = Path(__file__).resolve().parents[1] / "files"
SOURCE = FILES.parents[2] / "core" / "packing.py"


def packed(package: str) -> str:
    """A package of this role's files, as `core.packing` packs it.

    That is loaded by its path, because Ansible may have a Python of its own.
    """
    name = "herd_packing"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SOURCE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name].packed(package, FILES / package)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Names in templates."""
        return {"herd_packed": packed}
