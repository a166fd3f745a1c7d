"""A verb loads what it calls and nothing else: a second of waiting, each time, for nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "pandas", "pyarrow", "matplotlib", "requests", "gguf", "tokenizers", "scipy")
FLOORS = ("analysis", "experiments", "collect", "core.foreign")


def loaded(*statements: str) -> set[str]:
    """What is loaded after these statements, in a Python of its own."""
    ending = "import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", "; ".join([*statements, ending])],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_to_list_the_verbs_nothing_of_ours_is_loaded() -> None:
    assert not loaded("import fabfile") & {*HEAVY, *FLOORS, "pydantic", "rich"}


def test_status_loads_no_parser() -> None:
    assert "collect.parsers" not in loaded("import experiments.disk.ledger")


@pytest.mark.parametrize(
    "module",
    ["experiments.disk.ledger", "experiments.fleet.lab", "collect.parsers.distributed_llama"],
)
def test_status_the_lab_and_logs_need_nothing_heavy(module: str) -> None:
    assert not loaded(f"import {module}") & set(HEAVY)


def test_to_print_a_log_neither_pydantic_nor_rich_is_loaded() -> None:
    modules = loaded("import collect.parsers.dllama_json", "import core.terminal")
    assert not modules & {*HEAVY, "pydantic", "rich"}
