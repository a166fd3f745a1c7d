"""Which systems the nodes of the lab can have: what is asked for, and what is refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from core.errors import HerdError
from experiments.fleet import lab

PROJECT = Path(__file__).resolve().parents[2]
ROLE = PROJECT / "roles" / "lab_host"
ABLE = {"lab_host_may_contain": True}
"""As if this machine could hold a lab: releases are refused before anything is made."""
DEBIAN_12 = {"lab_host_origin": "Debian", "lab_host_codename": "bookworm"}
UBUNTU = {"lab_host_origin": "Ubuntu", "lab_host_codename": "noble"}


@pytest.mark.parametrize(
    ("asked", "nodes", "words"),
    [
        ("buster", 2, r"--release buster: 'buster' is not one of bookworm, trixie\. .*commas"),
        ("trixie,", 2, r"--release trixie,: '' is not one of bookworm, trixie"),
        ("bookworm trixie", 2, r"'bookworm trixie' is not one of bookworm, trixie"),
        ("bookworm,trixie", 1, r"2 releases for 1 node\. .*each release needs a node"),
    ],
)
def test_releases_that_no_node_can_have_are_refused(asked: str, nodes: int, words: str) -> None:
    with pytest.raises(HerdError, match=words):
        lab.lab_up(nodes, release=asked)


@pytest.mark.parametrize(
    ("asked", "handed_over"),
    [("", []), ("trixie", ["trixie"]), ("bookworm, trixie", ["bookworm", "trixie"])],
)
def test_releases_reach_the_role_as_a_list(
    monkeypatch: pytest.MonkeyPatch, asked: str, handed_over: list[str]
) -> None:
    played: list[Mapping[str, object]] = []
    monkeypatch.setattr(lab, "lab_obstacle", lambda: None)
    monkeypatch.setattr(lab, "_play", lambda _doing, variables: played.append(variables))
    lab.lab_up(2, release=asked)
    assert played[0]["lab_release"] == handed_over


def test_the_role_knows_the_same_releases() -> None:
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())
    choices = specs["argument_specs"]["main"]["options"]["lab_host_release"]["choices"]
    assert choices == list(lab.RELEASES)


@pytest.mark.parametrize(
    ("machine", "asked", "words"),
    [
        (DEBIAN_12, "trixie,buster", "must be one or more of: bookworm, trixie. Got no match for:"),
        (DEBIAN_12, "bookworm,trixie", "There are 2 releases for 1 nodes: bookworm, trixie."),
        (UBUNTU, "trixie", "a mirror of Ubuntu, which has none of trixie. Without --release"),
        (
            DEBIAN_12 | {"lab_host_keys_of_releases": ["bookworm"]},
            "trixie",
            "does not have the key that signs trixie; the newest debian-archive-keyring has it",
        ),
    ],
)
def test_a_machine_refuses_what_it_cannot_build(
    tmp_path: Path, machine: Mapping[str, object], asked: str, words: str
) -> None:
    said = checked(tmp_path, {**machine, "lab_release": asked})
    assert words in said
    assert "changed=0" in said


@pytest.mark.parametrize(("origin", "has_them"), [("Debian", False), ("Ubuntu", True)])
def test_a_smallest_ubuntu_gets_apt_and_the_keys_of_its_packages(
    origin: str,
    has_them: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible")),
            "localhost",
            "--inventory=localhost,",
            "--connection=local",
            "--module-name=debug",
            "--args=msg={{ lab_host_kind_packages | join(' ') }}",
            f"--extra-vars=@{ROLE / 'vars' / 'main.yml'}",
            f"--extra-vars=lab_host_origin={origin}",
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    words = done.stdout.replace('"', " ").split()
    assert "python3-apt" in words
    assert ({"apt", "ubuntu-keyring"} <= set(words)) == has_them


def checked(folder: Path, variables: Mapping[str, object]) -> str:
    """What `playbooks/lab.yml` says of one node, on a machine with these variables."""
    given = {"lab_nodes": 1, "lab_directory": str(folder), **ABLE, **variables}
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "--check",
            "--inventory=localhost,",
            "playbooks/lab.yml",
            f"--extra-vars={json.dumps(given)}",
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode != 0
    return " ".join((done.stdout + done.stderr).split())
