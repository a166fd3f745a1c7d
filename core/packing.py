"""A program of several modules as one text: machines get one file, which any Python runs.

The same modules give the same bytes wherever they are packed, so a hash shows whether a file is the
one that would be written now. Uses the standard library alone: Ansible loads it by its path.
"""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

_QUOTES = "'''"
_IMPORT = re.compile(r"^from ([\w.]+) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)
_PROGRAM = """\
#!/usr/bin/python3 -IS
# Packed from the modules of `{package}` in the sources of llama-herd. Changes here are overwritten.
import sys

MODULES = (
{modules})
for name, source in MODULES:
    module = type(sys)(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
if __name__ == "__main__":
    sys.exit(sys.modules["{package}.main"].main())
"""


def modules_of(package: str, folder: Path) -> list[tuple[str, str]]:
    """Read the modules of a package, each after those that it imports.

    Args:
        package: its full name.
        folder: where its modules are. `__main__` is left out, and so are folders below it.

    Returns:
        Full name and source of each.

    Raises:
        graphlib.CycleError: modules import each other in a circle.
    """
    sources = {}
    for path in sorted(folder.glob("*.py")):
        name = package if path.stem == "__init__" else f"{package}.{path.stem}"
        sources[name] = path.read_text(encoding="utf-8")
    sources.pop(f"{package}.__main__", None)
    needs = {name: [one for one in _imported(sources[name]) if one in sources] for name in sources}
    return [(name, sources[name]) for name in TopologicalSorter(needs).static_order()]


def packed(package: str, folder: Path) -> str:
    """Pack a package into one program that ends with what `main` of its module `main` returns.

    Raises:
        ValueError: a module holds three single quotes in a row, which end its text too early.
    """
    pieces = []
    for name, source in modules_of(package, folder):
        if _QUOTES in source:
            raise ValueError(f"{name} has {_QUOTES} in it: use double quotes")
        pieces.append(f"(\n{name!r},\nr{_QUOTES}{source}{_QUOTES},\n),\n")
    return _PROGRAM.format(package=package, modules="".join(pieces))


def _imported(source: str) -> list[str]:
    """Full names of the modules that a module may import from a package, in the order of its text.

    By a pattern: Ansible packs again for every host, and parsing takes fifty times as long.
    """
    names = []
    for package, several, line in _IMPORT.findall(source):
        named = re.split(r"[\s,]+", several or line)
        names += [package, *(f"{package}.{name}" for name in named)]
    return names
