"""The program of the nodes as a module."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

HELPER = Path(__file__).resolve().parents[2] / "roles" / "node_base" / "files" / "herd-node"


def load_helper() -> ModuleType:
    """Import it, though its name is none of a module."""
    loader = importlib.machinery.SourceFileLoader("herd_node", str(HELPER))
    spec = importlib.util.spec_from_loader("herd_node", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
