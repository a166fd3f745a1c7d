"""What is installed is known in full: each package, its version and its hashes."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
PIN = re.compile(
    r"^([\w.-]+)==(\S+)( ; [^\\]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def direct(name: str) -> dict[str, str]:
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(package): version for package, version in pairs}


def locked(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    return {canonicalize_name(found[1]): found[2] for found in PIN.finditer(text)}


@pytest.mark.parametrize("name", ["base", "test"])
def test_every_line_is_an_exact_version_with_hashes(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    assert PIN.sub("", text) == f"# Made of {name}.in, where the command stands.\n"
    assert direct(name).items() <= locked(name).items()


@pytest.mark.parametrize("name", ["base", "test"])
def test_what_a_package_needs_is_pinned_too(name: str) -> None:
    pins = locked(name)
    for package in direct(name):
        for text in metadata.requires(package) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert needed.specifier.contains(pins[canonicalize_name(needed.name)])


def test_both_files_agree() -> None:
    base, test = locked("base"), locked("test")
    assert {name: base[name] for name in base.keys() & test.keys()}.items() <= test.items()


def test_no_file_names_where_packages_come_from() -> None:
    for path in REQUIREMENTS.iterdir():
        assert "://" not in path.read_text()
        assert "index" not in path.read_text()
