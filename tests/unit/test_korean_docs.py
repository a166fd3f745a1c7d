"""What is written twice, in English and Korean, says the same in the same order."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted((PROJECT / "docs" / "ko").glob("*.md"))
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(fab [a-z-]+)", re.MULTILINE)
TARGET = re.compile(r"\]\(([^)\s]+)\)")
NOTED = re.compile(r"^<!-- Of (docs/[a-z-]+\.md), SHA-256 ([0-9a-f]{64}) -->$", re.MULTILINE)


def _without_blocks(text: str) -> str:
    return BLOCK.sub("", text)


def _headings(text: str) -> list[str]:
    return HEADING.findall(_without_blocks(text))


def test_there_are_first_steps_in_korean() -> None:
    assert "first-report.md" in {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_korean_page_is_of_the_english_page_as_it_is_now(page: Path) -> None:
    found = NOTED.search(page.read_text(encoding="utf-8"))
    assert found is not None
    english = PROJECT / found[1]
    assert english.name == page.name
    digest = hashlib.sha256(english.read_bytes()).hexdigest()
    assert found[2] == digest, f"{found[1]} has changed: mend {page.name}, then note {digest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_korean_page_has_the_headings_and_commands_of_the_english_one(page: Path) -> None:
    korean = page.read_text(encoding="utf-8")
    english = (PROJECT / "docs" / page.name).read_text(encoding="utf-8")
    assert _headings(korean) == _headings(english)
    assert BLOCK.findall(korean) == BLOCK.findall(english)
    assert len(re.findall(r"^\|", korean, re.MULTILINE)) == len(
        re.findall(r"^\|", english, re.MULTILINE)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_korean_page_are_those_of_the_english_one(page: Path) -> None:
    korean = page.read_text(encoding="utf-8")
    english = (PROJECT / "docs" / page.name).read_text(encoding="utf-8")
    found = {target.removeprefix("../") for target in TARGET.findall(korean)} - {page.name}
    assert found == set(TARGET.findall(english)) - {f"ko/{page.name}"}
    for target in TARGET.findall(korean):
        assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_korean_readme_has_the_headings_commands_and_verbs_of_the_english_one() -> None:
    english, korean = (
        (PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md")
    )
    assert _headings(korean) == _headings(english)
    assert BLOCK.findall(korean) == BLOCK.findall(english)
    assert ROW.findall(korean) == ROW.findall(english)
    assert "docs/ko/first-report.md" in korean
