"""Group `cluster` has the members and the order that it has for Ansible, however it is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.fleet.inventory import read_cluster

ANSIBLE = str(Path(sys.executable).with_name("ansible"))
ADDRESSES = 'ansible_host: "192.0.2.{{ groups.all.index(inventory_hostname) + 1 }}"\n'
CONFIG = "[inventory]\nenable_plugins = host_list, script, constructed, auto, yaml, ini, toml\n"
SCRIPT = """#!/bin/sh
echo '{"site_b": {"hosts": ["z", "b"]}, "site_a": {"hosts": ["a", "z"]},
       "cluster": {"hosts": ["c"], "children": ["site_b", "site_a"]}, "_meta": {"hostvars": {}}}'
"""
FORMS = {
    "groups below groups, hosts of the upper first": {
        "hosts.yml": (
            "cluster: {children: {sites: {children: {west: {hosts: {w: }}}, hosts: {s: }},"
            " rack: {hosts: {r: }}}}\n"
        )
    },
    "a group of groups beside one with hosts": {
        "hosts.ini": "[deep:children]\nx\n[x]\np1\n[flat]\np9\n[cluster:children]\ndeep\nflat\n"
    },
    "hosts and children at once": {
        "hosts.ini": "[cluster]\nlast\n[cluster:children]\nfirst\n[first]\na\nb\n"
    },
    "a host in several groups": {
        "hosts.ini": "[one]\na\nb\n[two]\nc\na\n[cluster:children]\ntwo\none\n"
    },
    "ranges": {"hosts.ini": "[cluster]\npi[03:01]\npi[01:03]\nnode-[a:c].example\n"},
    "a host that was named before, elsewhere": {
        "hosts.ini": "z\na\n[others]\nb\n[cluster]\nb\na\nz\n"
    },
    "a constructed group": {
        "1.ini": "[pis]\np2\np1\n[pcs]\nd1\n",
        "2.yml": "plugin: constructed\ngroups: {cluster: inventory_hostname != 'p2'}\n",
    },
    "several files, of which each adds": {
        "1.ini": "[cluster]\nb\n",
        "2.yml": "cluster: {hosts: {a: }, children: {more: {hosts: {c: , b: }}}}\n",
    },
    "a script": {"hosts.sh": SCRIPT},
    "TOML": {"hosts.toml": '[cluster]\nhosts = {}\nchildren = ["x"]\n[x.hosts]\nb = {}\na = {}\n'},
}


@pytest.mark.parametrize("files", FORMS.values(), ids=FORMS)
def test_nodes_and_their_order_are_ansibles(
    tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ansible.cfg").write_text(CONFIG)
    (tmp_path / "inventory" / "group_vars").mkdir(parents=True)
    (tmp_path / "inventory" / "group_vars" / "all.yml").write_text(ADDRESSES)
    for name, text in files.items():
        (tmp_path / "inventory" / name).write_text(text)
        (tmp_path / "inventory" / name).chmod(0o755 if name.endswith(".sh") else 0o644)
    if len(files) > 1:  # as in the environment, where several can be named
        paths = ",".join(str(tmp_path / "inventory" / name) for name in files)
        monkeypatch.setenv("ANSIBLE_INVENTORY", paths)
        given = None
    else:
        given = str(tmp_path / "inventory" / next(iter(files)))

    listed = subprocess.run(
        [ANSIBLE, *(["-i", given] if given else []), "cluster", "--list-hosts"],
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    _, *names = listed.split("\n")
    assert [node.name for node in read_cluster(tmp_path, given).nodes] == [
        name.strip() for name in names if name.strip()
    ]
