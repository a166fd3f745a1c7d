"""How fab reaches a node is how Ansible reaches it, which is let call an `ssh` that writes down."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import HerdError
from experiments.fleet.cluster import Node, Secret
from experiments.fleet.inventory import read_cluster

PROJECT = Path(__file__).resolve().parents[2]
ANSIBLE = str(Path(sys.executable).with_name("ansible"))
VAULT = str(Path(sys.executable).with_name("ansible-vault"))
WRITES_DOWN = """#!{python}
import json, pathlib, sys
host = sys.argv[-2]
with pathlib.Path({told!r}, host).open("w") as out:
    json.dump(sys.argv[1:-2], out)
sys.exit(255)
"""
HOSTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "aliased": {
        "ansible_host": "x.example",
        "ansible_ssh_host": "192.0.2.1",
        "ansible_port": 2200,
        "ansible_ssh_port": 2201,
        "ansible_user": "ada",
        "ansible_ssh_user": "grace",
        "ansible_private_key_file": "keys/one",
        "ansible_ssh_private_key_file": "keys/two",
    },
    "short": {
        "ansible_host": "192.0.2.2",
        "ansible_user": "ada",
        "ansible_private_key_file": "~/.ssh/three",
    },
    "explicit": {"ansible_host": "192.0.2.3", "ansible_port": 22, "ansible_connection": "ssh"},
    "jumping": {
        "ansible_host": "192.0.2.4",
        "ansible_ssh_common_args": "-o ProxyJump=ada@gate.example:2222",
    },
    "quoting": {
        "ansible_host": "192.0.2.5",
        "ansible_ssh_args": "-F 'my config' -o ControlMaster=no",
        "ansible_ssh_common_args": "-o ProxyCommand=\"ssh -W '[%h]:%p' gate\"",
        "ansible_ssh_extra_args": "-o ConnectTimeout=3 -4",
    },
    "templated": {
        "number": 6,
        "ansible_host": "192.0.2.{{ number }}",
        "ansible_user": "{{ hostvars.aliased.ansible_user }}",
        "ansible_port": "{{ 2200 + number }}",
        "ansible_ssh_common_args": "-o User{{ 'KnownHostsFile' }}=hosts -o Compression=yes",
    },
    "with_password": {"ansible_host": "192.0.2.7", "ansible_password": "alpaca"},
    "with_ssh_pass": {"ansible_host": "192.0.2.8", "ansible_ssh_pass": "vicuna"},
    "unchecked": {"ansible_host": "192.0.2.9", "ansible_ssh_host_key_checking": False},
    "fully_named": {"ansible_host": "192.0.2.10", "ansible_connection": "ansible.builtin.ssh"},
    "in_a_group_of_its_own": {},
}
GROUP_VARS = {"ansible_user": "ofgroup", "ansible_port": 2023, "ansible_host": "192.0.2.12"}
CONFIG = """
[defaults]
host_key_checking = {checking}
timeout = 7
vault_password_file = password
{defaults}
[ssh_connection]
ssh_executable = {ssh}
{ssh_connection}
"""
WORLDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "nothing set": ("", "", {}),
    "ansible.cfg": (
        "remote_user = ofconfig\nremote_port = 2100\nprivate_key_file = keys/ofconfig",
        """ssh_args = -o ControlMaster=auto -o ServerAliveInterval=5
ssh_common_args = -o ProxyJump=ofconfig
ssh_extra_args = -o Compression=no""",
        {},
    ),
    "the environment": (
        "remote_user = ofconfig\nremote_port = 2100",
        "ssh_args = -o ControlMaster=auto\nssh_common_args = -o ProxyJump=ofconfig",
        {
            "ANSIBLE_REMOTE_USER": "ofenvironment",
            "ANSIBLE_REMOTE_PORT": "2300",
            "ANSIBLE_PRIVATE_KEY_FILE": "~/ofenvironment",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o Tunnel=no",
            "ANSIBLE_SSH_COMMON_ARGS": "-o ProxyJump=ofenvironment",
            "ANSIBLE_SSH_EXTRA_ARGS": "-6",
            "ANSIBLE_HOST_KEY_CHECKING": "false",
        },
    ),
}


def fleet(folder: Path, hosts: dict[str, dict[str, Any]], config: str) -> str:
    (folder / "ansible.cfg").write_text(config)
    (folder / "password").write_text("alpaca\n")
    path = folder / "hosts.yml"
    own = {"vars": GROUP_VARS, "hosts": {"in_a_group_of_its_own": {}}}
    path.write_text(
        json.dumps({"cluster": {"hosts": hosts}} | ({"own": own} if "plain" in hosts else {}))
    )
    return str(path)


def first_values(arguments: list[str]) -> dict[str, str]:
    """Options by name, as OpenSSH takes them: the first counts."""
    told: dict[str, str] = {}
    for flag, value in itertools.pairwise(arguments):
        if flag == "-o":
            name, _, text = value.partition("=")
            told.setdefault(name, text.strip('"'))
    return told


def is_within(few: tuple[str, ...], many: list[str]) -> bool:
    rest = iter(many)
    return all(word in rest for word in few)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_every_setting_is_the_one_that_ansible_uses(
    tmp_path: Path, world: tuple[str, str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults, ssh_connection, environment = world
    told = tmp_path / "told"
    told.mkdir()
    ssh = tmp_path / "ssh-that-writes"
    ssh.write_text(WRITES_DOWN.format(python=sys.executable, told=str(told)))
    ssh.chmod(0o755)
    config = CONFIG.format(ssh=ssh, checking=True, defaults=defaults, ssh_connection=ssh_connection)
    hosts = fleet(tmp_path, HOSTS, config)
    for name, value in {"HOME": str(tmp_path), **environment}.items():
        monkeypatch.setenv(name, value)

    subprocess.run(
        [ANSIBLE, "-i", hosts, "cluster", "-m", "ansible.builtin.raw", "-a", "true"],
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    nodes = read_cluster(tmp_path, hosts, must_resolve=False).nodes

    assert [node.name for node in nodes] == list(HOSTS)
    for node in nodes:
        check(node, json.loads((told / node.address).read_text()), ssh, tmp_path)


def check(node: Node, called: list[str], ssh: Path, home: Path) -> None:
    options = first_values(called)
    assert node.ssh.executable == str(ssh)
    assert options.get("User") == node.user
    assert int(options.get("Port", 22)) == node.port
    key = node.key_file and node.key_file.replace("~", str(home))
    assert options.get("IdentityFile") == key
    assert is_within(node.ssh.arguments, called), (node.ssh.arguments, called)
    # Nothing of Ansible's is missing but what has a field of its own, and what only Ansible needs.
    own = {"User", "IdentityFile", "ConnectTimeout", "ControlPath", "NumberOfPasswordPrompts"}
    own |= {"KbdInteractiveAuthentication", "PreferredAuthentications", "PasswordAuthentication"}
    assert options.keys() - own <= first_values(list(node.ssh.arguments)).keys()
    assert ("PasswordAuthentication" not in options) == (node.ssh.password is not None)


def test_variables_beside_playbooks_count_as_they_do_in_a_play(tmp_path: Path) -> None:
    for name in ("provision.yml", "roles", "experiments", "core", "collect", "models"):
        (tmp_path / name).symlink_to(PROJECT / name)
    shutil.copytree(PROJECT / "playbooks", tmp_path / "playbooks", symlinks=True)
    for number, place in enumerate((".", "playbooks", "playbooks/parts")):
        (tmp_path / place / "group_vars").mkdir()
        (tmp_path / place / "group_vars" / "all.yml").write_text(f"ansible_user: user{number}\n")
    told = tmp_path / "told"
    told.mkdir()
    ssh = tmp_path / "ssh-that-writes"
    ssh.write_text(WRITES_DOWN.format(python=sys.executable, told=str(told)))
    ssh.chmod(0o755)
    config = CONFIG.format(ssh=ssh, checking=True, defaults="", ssh_connection="")
    hosts = tmp_path / "inventory" / "hosts.ini"
    hosts.parent.mkdir()
    hosts.write_text("[cluster]\na ansible_host=192.0.2.1\n")
    (tmp_path / "ansible.cfg").write_text(config)
    (tmp_path / "password").write_text("alpaca\n")

    subprocess.run(
        [f"{ANSIBLE}-playbook", "-i", str(hosts), "provision.yml"],
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )

    (node,) = read_cluster(tmp_path, str(hosts)).nodes
    assert node.user == first_values(json.loads((told / "192.0.2.1").read_text()))["User"]


def test_passwords_are_known_but_never_shown(tmp_path: Path) -> None:
    hosts = fleet(tmp_path, {}, "[defaults]\nvault_password_file = password\n")
    vaulted = subprocess.run(
        [VAULT, "encrypt_string", "guanaco"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    Path(hosts).write_text(
        "cluster:\n  hosts:\n    a: {ansible_host: 192.0.2.7, ansible_password: llama}\n"
        f"    b:\n      ansible_host: 192.0.2.8\n      ansible_password: {vaulted}\n"
    )

    a, b = read_cluster(tmp_path, hosts).nodes

    assert (a.ssh.password, b.ssh.password) == (Secret("llama"), Secret("guanaco"))
    assert "llama" not in repr(a)
    assert "guanaco" not in repr((b, b.ssh, b.ssh.password))


@pytest.mark.parametrize(
    ("variables", "environment", "told"),
    [
        ({"ansible_connection": "winrm"}, {}, "would connect to a with the connection `winrm`"),
        ({"ansible_connection": "psrp"}, {}, "belongs in group windows_hosts"),
        ({"ansible_connection": "containers.podman.podman"}, {}, "`containers.podman.podman`"),
        (
            {},
            {"ANSIBLE_TRANSPORT": "paramiko"},
            "`paramiko` (ansible_connection, ANSIBLE_",
        ),
        (
            {"ansible_ssh_private_key": "-----BEGIN"},
            {},
            "ansible_ssh_private_key of a gives the",
        ),
        (
            {"ansible_ssh_pkcs11_provider": "/lib/p.so"},
            {},
            "ansible_ssh_pkcs11_provider of a",
        ),
        ({"ansible_ssh_common_args": "-o 'a"}, {}, "ssh_common_args of a cannot be split"),
        ({"ansible_user": "{{ nobody }}"}, {}, "ansible_user of a cannot be evaluated: 'nobody'"),
        ({"herd_known_hosts": "{{ x }}"}, {}, "herd_known_hosts of a cannot be evaluated"),
    ],
)
def test_what_fab_cannot_follow_is_refused_by_name(
    tmp_path: Path,
    variables: dict[str, str],
    environment: dict[str, str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    hosts = fleet(tmp_path, {"a": {"ansible_host": "192.0.2.1"} | variables}, "")

    with pytest.raises(HerdError) as caught:
        read_cluster(tmp_path, hosts)
    assert told in str(caught.value)
