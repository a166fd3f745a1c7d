"""`fab adopt` on a command line: its words, its question, the commands that it ends with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from invoke.exceptions import Exit

import fabfile
from experiments.adopt.screen import Terminal, next_commands
from experiments.doctor.facts import Base, Facts, MachineFacts, Root
from experiments.doctor.finding import Diagnosis, NodeAnswer
from experiments.fleet import commands


@pytest.mark.parametrize(
    ("given", "marked"),
    [
        ("adopt a b", "adopt --machine=a --machine=b"),
        ("adopt -i f.yml a --key k b", "adopt -i f.yml --machine=a --key=k --machine=b"),
        ("adopt a --fingerprint=x b", "adopt --machine=a --fingerprint=x --machine=b"),
        (
            "adopt a --fingerprint x --fingerprint y",
            "adopt --machine=a --fingerprint=x --fingerprint=y",
        ),
        ("adopt --machine a b", "adopt --machine=a --machine=b"),
        ("adopt doctor", "adopt --machine=doctor"),
        ("adopt a --key", "adopt --machine=a --key"),
        ("paper -n r1 --with-names r2", "paper -n --run=r1 --with-names --run=r2"),
        ("paper --to -x r1 --hide a", "paper --to=-x --run=r1 --hide=a"),
        ("cite add -t T 10.1/x", "cite --word=add -t T --word=10.1/x"),
        ("log today - a -b", "log --word=today --word=- --word=a --word=-b"),
        ("adopt --help", "adopt --help"),
        ("adopt", "adopt"),
        ("doctor --limit adopted", "doctor --limit adopted"),
    ],
)
def test_bare_words_are_marked(given: str, marked: str) -> None:
    words = given.split()

    fabfile.mark_words(words)

    assert words == marked.split()


def test_what_is_behind_two_dashes_is_refused_and_not_run_as_a_command() -> None:
    fabfile.require_no_rest(["log", "today"], "")
    with pytest.raises(Exit, match=r"fab log: `--` ends the command"):
        fabfile.require_no_rest(["log", "today"], "a b")


@contextmanager
def at_a_terminal(typed: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    outer, inner = os.openpty()
    with (
        os.fdopen(outer, "wb") as keyboard,
        os.fdopen(inner, "r") as read,
        Path(os.ttyname(inner)).open("w", encoding="utf-8") as written,
        monkeypatch.context() as patched,
    ):
        patched.setattr(sys, "stdin", read)
        patched.setattr(sys, "stdout", written)
        keyboard.write(typed)
        keyboard.flush()
        yield


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        (b"y\n", True),
        (b"YES \n", True),
        (b"\n", False),
        (b"n\n", False),
        (b"yep\n", False),
        (b"\x04", False),
        ("ㅛ\n".encode(), False),
        ("ㅛ".encode()[:2] + b"y\n", False),
    ],
)
def test_only_a_yes_is_a_yes(typed: bytes, means: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_a_terminal(typed, monkeypatch):
        assert Terminal().confirm("Trust these keys? [y/N] ") is means


def test_without_a_terminal_nobody_is_asked() -> None:
    assert Terminal().confirm("Trust these keys? [y/N] ") is None


def diagnosis(root: Root | None) -> Diagnosis:
    facts = Facts(
        base=Base(architecture="x", kernel="6"), machine=MachineFacts(kind="native"), root=root
    )
    return Diagnosis(NodeAnswer("pi1", "192.0.2.1", "192.0.2.1", facts=facts), [])


@pytest.mark.parametrize(
    ("nodes", "roots", "asks"),
    [
        (1, [Root(asks="nothing")], False),
        (2, [Root(asks="nothing"), Root(is_root=True)], False),
        (2, [Root(asks="nothing"), Root(asks="password")], True),
        (2, [Root(asks="nothing"), None], True),
        (3, [Root(asks="nothing"), Root(asks="nothing")], True),
    ],
)
def test_the_next_command_asks_for_a_password_where_a_node_does_or_does_not_tell(
    nodes: int, roots: list[Root | None], asks: object
) -> None:
    with commands.remembered("inventory/fleet.yml"):
        _, provision, measure = next_commands(nodes, [diagnosis(root) for root in roots])

    assert (" -K" in provision) is asks
    assert "-i inventory/fleet.yml provision.yml" in provision
    counts = {1: "1", 2: "1,2", 3: "1,2,3"}[nodes]
    assert measure.endswith(f"run-matrix --nodes {counts} --inventory inventory/fleet.yml")
