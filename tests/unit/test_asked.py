"""Playbooks say so where nothing would be done: tags, groups, limits and wishes to no effect."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ("engines", "facts", "gpus", "models", "nodes", "reset", "verify", "windows_hosts")
ASKED = "playbooks/parts/asked.yml"
HOSTS = """
all:
  children:
    cluster:
      hosts:
        pi1:
        pi2: {herd_petals: true}
        desk:
    cuda_nodes:
      hosts:
        desk:
    printers:
      hosts:
        laser:
    windows_hosts:
      hosts: {}
"""
PETALS = (
    "Nothing would be done for petals: no host of --limit pi1 has `herd_petals: true` (set it in "
    "the inventory, or give -e herd_petals=true)."
)
CUDA = "Nothing would be done for cuda: no host of the inventory has both group cuda_nodes"
WSL = (
    "Nothing would be done for wsl: no host of the inventory has group windows_hosts or wsl_guests."
)


def play(folder: Path, *arguments: str, hosts: str = HOSTS) -> tuple[int, str]:
    inventory = folder / "hosts.yml"
    inventory.write_text(hosts)
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run(
        [program, "-i", str(inventory), *arguments],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_SSH_ARGS": "-o ProxyCommand=false"},
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("provision.yml", "--tags=petals", "--limit=pi1"), PETALS),
        (("provision.yml", "--tags=cuda"), CUDA),
        (("playbooks/gpus.yml",), CUDA),
        (("playbooks/windows_hosts.yml",), WSL),
        (("provision.yml", "--tags=base,wsl"), WSL),
        (("provision.yml", "--tags=petal"), "There is no tag petal. There are base, engines,"),
        (("provision.yml", "--skip-tags=petal"), "There is no tag petal. There are base,"),
        (("provision.yml", "--limit=laser"), "Nothing would be done on laser: that needs one of"),
        (("playbooks/verify.yml", "--limit=printers"), "no host of --limit printers has group"),
        (("playbooks/facts.yml", "--limit=pi1,laser"), "Nothing would be done on laser: that need"),
        (
            ("provision.yml", "--limit=pi1,pi9"),
            "--limit pi1,pi9: the inventory has no host or group pi9. Its hosts are pi1, pi2,",
        ),
    ],
)
def test_what_would_do_nothing_is_refused_before_a_machine_is_asked(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    code, output = play(tmp_path, *arguments)

    assert code == 2
    assert told in output
    assert "unreachable=1" not in output


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_each_playbook_asks_for_nodes(tmp_path: Path, playbook: str) -> None:
    code, output = play(tmp_path, f"playbooks/{playbook}.yml", hosts="all: {hosts: {laser: }}\n")

    assert code == 2
    assert "has no node in group cluster" in output or "Nothing would be done for" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tags=petals",),
        ("--tags=petals", "--limit=pi1", "-e", "herd_petals=true"),
        ("--tags=cuda", "-e", "cuda_driver=true"),
        ("--tags=cuda", "-e", "cuda_hosts=pi1,pi2", "-e", "cuda_toolkit=true"),
        ("--limit=cluster:!desk",),
        ("--limit=pi*",),
        ("--limit=pi1:pi2", "--tags=engines,models"),
        (),
    ],
)
def test_what_does_something_is_let_pass(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, output = play(tmp_path, ASKED, *arguments)

    assert code == 0, output


def test_all_tags_are_known_and_no_others(tmp_path: Path) -> None:
    _, listed = play(tmp_path, "provision.yml", "--list-tags")
    told = re.findall(r"TASK TAGS: \[(.*?)\]", listed)
    there = {tag.strip() for tags in told for tag in tags.split(",")} - {"always", "never", ""}

    _, refused = play(tmp_path, ASKED, "--tags=none-of-ours")
    known = re.search(r"There are ([a-z_, ]+)\.", refused)
    assert known is not None
    assert set(known[1].split(", ")) == there
