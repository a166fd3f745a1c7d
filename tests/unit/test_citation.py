"""How the project is cited: CITATION.cff says what pyproject.toml and LICENSE say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]
NEEDED = {"cff-version", "message", "title", "authors"}
"""What version 1.2.0 of the format asks for."""
KNOWN = NEEDED | {"type", "abstract", "version", "license", "keywords"}


def test_the_citation_is_that_of_this_project() -> None:
    told = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    own = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert NEEDED <= told.keys() <= KNOWN
    assert told["cff-version"] == "1.2.0"
    assert told["type"] == "software"
    assert (told["title"], told["version"]) == (own["name"], own["version"])
    assert told["license"] == own["license"]["text"]
    [author] = told["authors"]
    assert f"Copyright (c) 2026 {author['name']}" in (PROJECT / "LICENSE").read_text()
