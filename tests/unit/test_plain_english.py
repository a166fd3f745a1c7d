"""Docs, README, messages and docstrings keep out the words that docs/writing.md lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
GUIDE = PROJECT / "docs/writing.md"
PAGES = [
    *(path for path in (PROJECT / "docs").glob("*.md") if path != GUIDE),
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]
ROW = re.compile(r"^\| (`[^|]+) \| ([^|]+) \|$", re.MULTILINE)
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
NOT_PROSE = re.compile(
    r"`[^`]*`|\{[{%#].*?[}%#]\}|<[^>\n]*>|\]\([^)\n]*\)|https?://\S+"
    r"|\bstands? for\b|\bonce upon a time\b|\bcannot tell\b|user:? nobody\b",
    re.DOTALL,
)
"""Code, templates' own language, tags, addresses, and ordinary phrases.

`cannot tell` is a verdict in reports and their tables, `nobody` a user of Linux.
"""
ARGUMENT = re.compile(r"^ {4,}\w+(?=: )", re.MULTILINE)
"""The name of an argument or an attribute in the list of a docstring."""
KEPT = {
    ("experiments/questions/keyed.yml", "stand"): "a question that runs have asked",
    ("experiments/rating/llm_judge.py", "told"): "judges of earlier runs got the same prompt",
    ("experiments/rating/llm_judge.py", "stands"): "judges of earlier runs got the same prompt",
}
"""Phrases of texts that must stay as they are, by file, with the reason."""
QUOTED = re.compile(r'"[^"\n]*"')
"""What another program prints, in a page; in other files quotes are part of the language."""


@cache
def avoided() -> dict[str, str]:
    """Each phrase to avoid and what to write instead."""
    return {
        phrase: better
        for phrases, better in ROW.findall(GUIDE.read_text())
        for phrase in re.findall(r"`([^`]+)`", phrases)
    }


@cache
def pattern() -> re.Pattern[str]:
    """Any of the phrases in lower case, also across lines; not as parts of compounds."""
    phrases = sorted(avoided(), key=len, reverse=True)
    either = "|".join(re.escape(one).replace(r"\ ", r"\s+") for one in phrases)
    return re.compile(rf"\b(?<!-)(?:{either})(?![\w-])")


def found(prose: str, name: str = "") -> Iterator[str]:
    """Yield every phrase to avoid in a text of a file, with its line and what to write."""
    if not pattern().search(prose.lower()):
        return
    without = FENCE.sub(lambda block: "\n" * block[0].count("\n"), prose.lower())
    kept = NOT_PROSE.sub(lambda code: "`" + "\n" * code[0].count("\n"), without)
    for match in pattern().finditer(kept):
        phrase = " ".join(match[0].split())
        line = kept.count("\n", 0, match.start()) + 1
        if (name, phrase) not in KEPT:
            yield f"{line}: {phrase!r}: write {avoided()[phrase]}"


def texts_of_python(source: str) -> Iterator[tuple[str, int]]:
    """Yield docstrings and sentences of a program, with the line where each begins."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield ARGUMENT.sub("", node.value), node.lineno


def found_in(path: Path) -> list[str]:
    """List the phrases to avoid in one file, each with its place."""
    text = path.read_text()
    name = path.relative_to(PROJECT).as_posix()
    if path.suffix == ".md":
        text = QUOTED.sub('""', text)
    if path.suffix != ".py":
        return [f"{name}:{one}" for one in found(text, name)]
    if not pattern().search(text.lower()):
        return []
    return [
        f"{name}:{line}+{one}"
        for prose, line in texts_of_python(text)
        for one in found(prose, name)
    ]


def sources() -> Iterator[Path]:
    """Files outside the tests that hold prose: packages, roles, playbooks, templates."""
    packages = [path.parent for path in PROJECT.glob("*/__init__.py")]
    for part in [*packages, *(PROJECT / name for name in ("inventory", "playbooks", "roles"))]:
        yield from (path for path in part.rglob("*") if path.suffix in {".py", ".yml", ".j2"})
    yield PROJECT / "fabfile.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_plain(page: Path) -> None:
    assert found_in(page) == []


def test_messages_and_docstrings_are_plain() -> None:
    mistakes = [one for path in sources() for one in found_in(path)]
    assert mistakes == []


def test_only_prose_is_read() -> None:
    prose = """A node\nlikewise *tells* so.
    ```
    the helper told
    ```
    `it stands`, what CPU stands for, stand-alone, {% if told %}, <p class="told">, [more](told.md)
    Nobody
    """
    places = [one.split(": write")[0] for one in found(prose)]
    assert places == ["2: 'likewise'", "2: 'tells'", "7: 'nobody'"]


def test_names_of_arguments_are_no_prose() -> None:
    source = '"""Do it.\n\n    Args:\n        tell: the one told of it.\n    """'
    ((prose, line),) = texts_of_python(source)
    assert [one.split(": write")[0] for one in found(prose)] == ["4: 'told'"]
    assert line == 1


def test_a_phrase_is_found_over_the_end_of_a_line_and_has_a_better_one() -> None:
    assert list(found("a run\ngoes\non")) == ["2: 'goes on': write continues"]
    assert len(avoided()) > 80
    assert all(avoided().values())
