"""`fab adopt` on virtual nodes that an inventory does not know yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.lab.virtual_lab import PROJECT, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ABSENT = "10.81.0.250"


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )


def on_its_own_screen(lab: VirtualLab, node: str) -> str:
    told = lab.on(node, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    return told.split()[1]


def test_nodes_are_adopted_by_their_fingerprints_and_ansible_reaches_them(
    lab: VirtualLab, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    own = tmp_path / "own.yml"
    before = (
        "# ours\ncluster:\n  vars:\n    ansible_user: pi  # as Imager made it\n"
        f"    herd_known_hosts: {known}\n"
        f"    ansible_ssh_common_args: -o UserKnownHostsFile={known}\n"
    )
    own.write_text(before)
    key = str(lab.folder / "lab" / "id_ed25519")
    words = [lab.address(node) for node in lab.names]
    flags = [f"--fingerprint={on_its_own_screen(lab, node)}" for node in lab.names]

    asked = run("fab", "adopt", f"--inventory={own}", "--key", key, *words)
    assert asked.returncode == 1
    assert all(flag.partition("=")[2] in asked.stderr for flag in flags)
    assert own.read_text() == before
    assert not known.exists()

    done = run("fab", "adopt", *words, ABSENT, "--key", key, f"--inventory={own}", *flags)

    assert done.returncode == 1, "one of the three is not there"
    assert f"{ABSENT}: it presents no host key." in done.stdout
    content = yaml.safe_load(own.read_text())["cluster"]
    assert [one["ansible_host"] for one in content["hosts"].values()] == words
    assert [line for line in before.splitlines() if line not in own.read_text().splitlines()] == []
    assert "2 nodes: 0 problems" in done.stdout, done.stdout
    assert done.stdout.splitlines()[-2:] == [
        f"  ansible-playbook -i {own} provision.yml",
        f"  fab run-matrix --nodes 1,2 --inventory {own}",
    ], done.stdout
    pinged = run("ansible", "-i", str(own), "cluster", "-m", "ansible.builtin.ping", "--one-line")
    assert pinged.stdout.count("SUCCESS") == len(words), pinged.stdout + pinged.stderr

    as_it_was = (own.read_bytes(), known.read_bytes())
    again = run("fab", "adopt", *words, f"--inventory={own}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (own.read_bytes(), known.read_bytes()) == as_it_was
