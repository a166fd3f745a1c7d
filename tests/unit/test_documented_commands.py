"""Commands that README and docs show can be typed: verbs, flags, files, tags, targets exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from invoke import Collection
from invoke.exceptions import ParseError
from invoke.parser import Parser

import fabfile
from experiments.doctor.checks.advice import DRIVER, TOOLKIT
from experiments.engines import ENGINES

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)```[a-z]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`((?:fab|ansible-playbook|make|python -m) [^`]+)`(?!`)")
BEGINNING = re.compile(r"(?:[A-Z_]+=\S+ +)*(fab|ansible-playbook|make|python -m)\b(?! room)")
ADDED = "ringer"
"""The engine that docs/adding-an-engine.md adds."""
OF_THE_READER = re.compile(r"inventory/(fleet|home|mine)\.(yml|ini)|localhost,|…|[A-Z]+")
"""Inventories that a reader writes, and what stands for something."""


def shown(page: Path) -> Iterator[tuple[str, bool]]:
    """Each command of a page, and whether it is whole, as in a block of code."""
    text = page.read_text()
    for block in FENCE.finditer(text):
        for line in block[2].replace("\\\n", " ").splitlines():
            command = line.strip().removeprefix("$ ")
            if BEGINNING.match(command):
                yield command, True
    for found in INLINE.finditer(FENCE.sub("", text)):
        yield " ".join(found[1].split()), False


def words_of(command: str) -> list[str]:
    """Words up to a comment, a pipe or the next command, without variables that are set before."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;><")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;><"):
            break
        words.append(word)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return [word for word in words if word != "…"]


@cache
def parsers() -> dict[str, Parser]:
    contexts = Collection.from_module(fabfile).to_contexts()
    return {context.name: Parser(contexts=[context]) for context in contexts}


@cache
def tags() -> set[str]:
    """Of all plays, roles and tasks."""
    texts = "".join(path.read_text() for path in (PROJECT / "playbooks").rglob("*.yml"))
    return {
        tag.strip() for found in re.findall(r"tags: \[(.*?)\]", texts) for tag in found.split(",")
    }


def wrong_with_fab(words: list[str], *, whole: bool) -> str:
    if words[1].startswith("--"):
        return "" if words[1] in {"--list", "--help", "--version"} else f"no flag {words[1]}"
    if words[1] not in parsers():
        return f"no verb {words[1]}"
    parser = parsers()[words[1]]
    context = parser.contexts[words[1]]
    for word in words[2:]:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag not in context.flags:
            return f"no flag {flag}"
    if whole:
        try:
            typed = words[1:]
            fabfile.mark_words(typed)
            parser.parse_argv(typed)
        except ParseError as error:
            return str(error)
    return wrong_with_values(words)


def wrong_with_values(words: list[str]) -> str:
    """Files of the project, and engines."""
    for flag, value in pairwise(words):
        if flag in {"--matrix", "--questions"} and "/" in value and not (PROJECT / value).exists():
            return f"no file {value}"
        if flag == "--engine" and not set(value.split(",")) <= set(ENGINES):
            return f"no engine {value}"
    return ""


def wrong_with_playbook(words: list[str]) -> str:
    playbooks = []
    rest = iter(words[1:])
    for word in rest:
        name, _, joined = word.partition("=")
        if word in {"-i", "--inventory", "-e", "--tags", "--limit"} or joined:
            value = joined or next(rest, "")
            if name == "--tags" and not set(value.split(",")) <= tags() | {ADDED}:
                return f"no tag {value}"
            if name in {"-i", "--inventory"} and not (
                OF_THE_READER.fullmatch(value) or (PROJECT / value).exists()
            ):
                return f"no inventory {value}"
        elif word.endswith(".yml"):
            playbooks.append(word)
        elif word not in {"-K", "--check", "--ask-become-pass"}:
            return f"no flag {word}"
    missing = [name for name in playbooks if not (PROJECT / name).exists()]
    return f"no playbook {missing[0]}" if missing else ""


def wrong_with(words: list[str], *, whole: bool) -> str:
    """What is wrong with a command; empty if nothing is."""
    if words[0] == "fab":
        return wrong_with_fab(words, whole=whole)
    if words[0] == "ansible-playbook":
        return wrong_with_playbook(words)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
        strange = [w for w in words[1:] if "=" not in w and w not in targets]
        return f"no target {strange[0]}" if strange else ""
    module = PROJECT / words[2].replace(".", "/")
    is_there = module.with_suffix(".py").exists() or (module / "__main__.py").exists()
    is_ours = words[2].partition(".")[0] in {
        "models",
        "experiments",
        "tests",
        "analysis",
        "collect",
        "core",
    }
    return f"no module {words[2]}" if is_ours and not is_there else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_can_be_typed(page: Path) -> None:
    wrong = [
        f"{command}: {what}"
        for command, whole in shown(page)
        if (what := wrong_with(words_of(command), whole=whole))
    ]
    assert wrong == []


def test_commands_are_found_and_mistakes_in_them_are_seen() -> None:
    assert sum(1 for page in PAGES for _ in shown(page)) > 100
    for command, what in {
        "fab pln --nodes 1": "no verb pln",
        "fab plan --node 1": "no flag --node",
        "fab plan --matrix experiments/matrices/none.yml": "no file experiments/matrices/none.yml",
        "ansible-playbook provison.yml": "no playbook provison.yml",
        "ansible-playbook provision.yml --tags petal": "no tag petal",
        "ansible-playbook -i inventory/nobody.yml provision.yml": "no inventory",
        "make tests": "no target tests",
        "python -m models.nothing": "no module models.nothing",
    }.items():
        assert what in wrong_with(words_of(command), whole=True)


def test_the_versions_that_the_doctor_advises_are_those_of_the_example() -> None:
    example = (PROJECT / "inventory/example.yml").read_text()
    told = yaml.safe_load(example)["all"]["children"]["cuda_nodes"]["vars"]
    assert told["cuda_driver_version"] == DRIVER
    assert f"cuda_toolkit_version: {TOOLKIT}" in example
