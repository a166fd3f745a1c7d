"""Every command that can be printed does what it says, and none is written out elsewhere."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from invoke import Collection
from invoke.parser import Parser

import fabfile
from experiments.fleet import commands
from tests.doubles.ansible_calls import AnsibleCalls, ansible_calls
from tests.doubles.remedies import NODE, OTHER, Printed, commands_printed

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
MAKERS = ("provision", "fab", "on_node", "module")
INVENTORY = f"""
cluster:
  hosts:
    {OTHER}: {{ansible_host: 192.0.2.1}}
    {NODE}: {{ansible_host: 192.0.2.7}}
"""
ASKED = "playbooks/parts/asked.yml"
PARTS = (
    *(PROJECT / name for name in ("experiments", "models", "collect", "analysis", "core", "verbs")),
)
CODE = [path for part in PARTS for path in part.rglob("*.py")]
COMMAND = re.compile(r"(?:ansible-playbook|ansible) +\S|\bfab ([a-z]+(?:-[a-z]+)?)\b(?! of)")
MENTIONS = {
    ("experiments/nodes/facts.py", "plan"),
    ("experiments/disk/ledger.py", "run-matrix"),
    ("experiments/rating/sheet.py", "run-matrix"),
    ("analysis/verdict/caveats.py", "run-matrix"),
    ("verbs/plans.py", "compare"),
    ("models/fine_tuned.py", "finetune"),
    ("experiments/planning/describe.py", "doctor"),
    ("experiments/tune/winner.py", "tune"),
    ("analysis/what_if/asking.py", "run-matrix"),
    ("analysis/model/probed.py", "probe"),
    ("analysis/model/scope.py", "probe"),
    ("analysis/sections/cost.py", "probe"),
    ("collect/sharing/imported.py", "export-run"),
    ("verbs/sharing.py", "export-run"),
    ("collect/probe.py", "probe"),
    ("experiments/planning/flags.py", "run-matrix"),
    ("experiments/planning/flags.py", "tune"),
    ("analysis/live/page.py", "run-matrix"),
    ("verbs/results.py", "run-matrix"),
}
"""Verbs that read an inventory, named in a sentence and not as what to paste."""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Printed]]:
    """All of them, for an inventory of another name than the default."""
    folder = tmp_path_factory.mktemp("remedies")
    inventory = folder / "my fleet.yml"
    inventory.write_text(INVENTORY)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
        patched.delenv("ANSIBLE_INVENTORY", raising=False)
        with commands.remembered(str(inventory), {NODE: True, OTHER: False}):
            yield commands_printed(folder)


def texts(printed: list[Printed], program: str) -> list[list[str]]:
    """The commands of a program, each once, as words."""
    split = {one.text: shlex.split(one.text) for one in printed}
    found = [words for words in split.values() if Path(words[0]).name.startswith(program)]
    return [words for words in found if program != "ansible" or words[0] == "ansible"]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
    )


def test_every_place_that_makes_a_command_is_tried_here(printed: list[Printed]) -> None:
    tried = {(one.file, one.line) for one in printed}
    places = [place for path in CODE for place in calls_of_makers(path)]
    missed = [
        f"{path}:{first}"
        for path, first, last in places
        if not any((str(path), line) in tried for line in range(first, last + 1))
    ]
    assert len(places) >= 10
    assert missed == []


def calls_of_makers(path: Path) -> Iterator[tuple[Path, int, int]]:
    """Where a file has a command made: its first and last line."""
    text = path.read_text()
    if "experiments" not in path.parts or path.name == "commands.py" or "commands" not in text:
        return
    bare = re.search(r"from experiments\.fleet\.commands import ([\w, ]+)", text)
    imported = {name.strip() for name in bare[1].split(",")} if bare else set()
    for call in ast.walk(ast.parse(text)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func
        is_maker = (
            name.attr in MAKERS and ast.unparse(name.value) == "commands"
            if isinstance(name, ast.Attribute)
            else isinstance(name, ast.Name) and name.id in imported & set(MAKERS)
        )
        if is_maker:
            yield path, call.lineno, call.end_lineno or call.lineno


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnsibleCalls]:
    """Ansible, loaded once for all."""
    with ansible_calls(tmp_path_factory.mktemp("calls")) as made:
        yield made


def test_playbooks_find_what_is_asked_for(printed: list[Printed], calls: AnsibleCalls) -> None:
    """With the playbook that says so where nothing would be done in the place of the others."""
    found = texts(printed, "ansible-playbook")
    assert len(found) >= 7
    for words in found:
        assert words[1:4] == ["-i", words[2], "provision.yml"]
        code, told = calls(
            *(ASKED if one == "provision.yml" else one for one in words[1:] if one != "-K")
        )
        assert code == 0, f"{words}: {told}"


def test_playbooks_take_the_flags(printed: list[Printed], calls: AnsibleCalls) -> None:
    words = texts(printed, "ansible-playbook")[0]
    code, told = calls(*words[1:], "--syntax-check")
    assert code == 0, f"{words}: {told}"


def test_commands_on_a_node_reach_that_node_and_are_shell(printed: list[Printed]) -> None:
    found = texts(printed, "ansible")
    assert len(found) >= 7
    for words in found:
        assert words[-4:-1] == ["-m", "raw", "-a"]
        assert run(["bash", "-n", "-c", words[-1]]).returncode == 0
        assert run(["sh", "-n", "-c", words[-1]]).returncode == 0
    done = run([*(word for word in found[0] if word != "-K"), "--list-hosts"])
    assert done.stdout.split() == ["hosts", "(1):", NODE], done.stderr


def test_packages_ask_nothing_where_nobody_can_answer(printed: list[Printed]) -> None:
    """A question would be asked on a terminal, and Ansible would wait for its answer for ever."""
    commands_on_nodes = [words[-1] for words in texts(printed, "ansible")]
    of_packages = [one for one in commands_on_nodes if re.search(r"apt-get [^c]|dpkg ", one)]
    assert len(of_packages) >= 5
    assert [one for one in of_packages if commands.ASKS_NOTHING not in one] == []


def test_passwords_are_asked_for_only_where_one_may_be_needed(printed: list[Printed]) -> None:
    asked = {
        "-K" in words
        for words in texts(printed, "ansible-playbook")
        if "--limit" in words and words[words.index("--limit") + 1] == OTHER
    }
    assert asked == {False}
    limits = [w for w in texts(printed, "ansible-playbook") if NODE in w[-5:]]
    assert limits
    assert all("-K" in words for words in limits)


@cache
def verbs() -> dict[str, Parser]:
    """Each verb of fab to what reads its flags."""
    contexts = Collection.from_module(fabfile).to_contexts()
    return {context.name: Parser(contexts=[context]) for context in contexts}


def test_fab_has_the_verbs_and_flags(printed: list[Printed]) -> None:
    found = texts(printed, "fab")
    assert {words[1] for words in found} >= {"adopt", "prepare", "run-matrix"}
    for words in found:
        typed = words[1:]
        fabfile.mark_words(typed)
        verbs()[words[1]].parse_argv(typed)
        assert ("--inventory" in words) == (words[1] in commands.VERBS_WITH_INVENTORY)


def test_modules_are_there_and_have_the_command(printed: list[Printed]) -> None:
    (words,) = texts(printed, "python")
    assert run([*words[:4], "--help"]).returncode == 0


def literals(path: Path) -> Iterator[str]:
    """Texts of a program that are not documentation, where one of its lines may have a command."""
    text = path.read_text()
    if not re.search(r"\bfab\b|ansible", text):
        return
    tree = ast.parse(text)
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in documentation:
            yield node.value


def test_no_command_is_written_out_where_the_inventory_is_not_known() -> None:
    strays = []
    for path in CODE:
        name = str(path.relative_to(PROJECT))
        if name == "experiments/fleet/commands.py":
            continue
        for text in literals(path):
            for found in COMMAND.finditer(text):
                verb = found[1]
                if verb is not None and verb not in verbs():
                    assert text[max(0, found.start() - 1)] != "`", f"{name}: no verb {verb}"
                elif verb in {None, *commands.VERBS_WITH_INVENTORY} - {
                    v for n, v in MENTIONS if n == name
                }:
                    strays.append(f"{name}: {text}")
    assert strays == []


def test_roles_and_playbooks_name_the_inventory_in_what_they_tell() -> None:
    told = [
        f"{path.relative_to(PROJECT)}: {line.strip()}"
        for folder in ("roles", "playbooks")
        for path in (PROJECT / folder).rglob("*")
        if path.suffix in {".yml", ".py", ".j2", ".sh"} and "parts/roles" not in str(path)
        for line in path.read_text().splitlines()
        if re.search(r"ansible-playbook +\S", line) and not line.lstrip().startswith("#")
    ]
    assert [line for line in told if "ansible_inventory_sources" not in line] == []
