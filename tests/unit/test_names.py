"""A name means one thing: classes and functions of one name in two modules, and files of tests."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("core", "models", "collect", "experiments", "analysis")
IDIOMS = {
    "main": "what a program begins with",
    "check": "what each module of doctor/checks/ answers, and all are called the same way",
    "sections": "what each module of analysis/sections/ makes, and all are called the same way",
    "measurement": "what each parser reads of the root's log",
    "failure_cause": "what each engine's parser takes for the words of a failure",
    "memory_need": "the estimate of an engine's module, which its `memory` returns",
    "expected_size_bytes": "asked of a format by models/build.py, which answers for all of them",
    "read_header": "of one format: formats do not import each other",
    "read_shape": "of one format",
    "read_vocabulary": "of one format",
    "time_split": "a chart: its data in charts/frames.py, its drawing, its description",
    "traffic": "a chart",
}
"""Names that several modules share because they answer one question, each for its own subject."""


def _defined_twice() -> dict[str, list[str]]:
    modules = defaultdict(list)
    for path in sorted(one for package in PACKAGES for one in (PROJECT / package).rglob("*.py")):
        for node in ast.parse(path.read_bytes()).body:
            is_named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if is_named and not node.name.startswith("_"):
                modules[node.name].append(str(path.relative_to(PROJECT)))
    return {name: found for name, found in modules.items() if len(found) > 1}


DEFINED_TWICE = _defined_twice()


@pytest.mark.parametrize("name", sorted(DEFINED_TWICE.keys() | IDIOMS.keys()))
def test_a_name_is_defined_once_unless_all_modules_mean_the_same_by_it(name: str) -> None:
    modules = DEFINED_TWICE.get(name, [])
    assert name in IDIOMS, f"{name} is defined in {', '.join(modules)}: name each by what it is."
    assert modules, f"{name} is no longer defined twice: take it off the list."


def test_files_of_tests_have_names_of_their_own_because_pytest_imports_them_by_those() -> None:
    files = Counter(path.name for path in (PROJECT / "tests").rglob("test_*.py"))
    assert not [name for name, times in files.items() if times > 1]
