"""Python files of roles and playbooks, loaded as Ansible does: by their place."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).resolve().parents[2]


def load(path: str) -> ModuleType:
    """A file by its path below `roles/`."""
    return load_at(PROJECT / "roles" / path)


def load_at(path: Path) -> ModuleType:
    """A file anywhere."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
