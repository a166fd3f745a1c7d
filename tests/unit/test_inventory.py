"""The inventory as Ansible understands it: groups, templates, vaults, and what is wrong with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.fleet.inventory import read_cluster

ANSIBLE_VAULT = str(Path(sys.executable).with_name("ansible-vault"))


def inventory(folder: Path, text: str, variables: str = "") -> str:
    (folder / "ansible.cfg").write_text("[defaults]\nvault_password_file = password\n")
    (folder / "password").write_text("alpaca\n")
    (folder / "group_vars").mkdir()
    (folder / "group_vars" / "all.yml").write_text(variables or "{}")
    path = folder / "hosts.ini"
    path.write_text(text)
    return str(path)


def test_nodes_come_in_the_inventorys_order_with_their_connection(tmp_path: Path) -> None:
    hosts = inventory(
        tmp_path,
        "[cluster]\n"
        "zeta ansible_host=192.0.2.9 ansible_user=ada ansible_port=2222\n"
        "alpha ansible_host=192.0.2.3 herd_cluster_address=10.0.0.3\n"
        "behind ansible_host=192.0.2.5 herd_forwarded_from=172.16.0.0/12\n"
        "[others]\nbeta ansible_host=192.0.2.4\n",
        "herd_known_hosts: inventory/known_hosts\nansible_ssh_private_key_file: keys/id\n",
    )

    zeta, alpha, behind = read_cluster(tmp_path, hosts).nodes

    assert (zeta.name, zeta.address, zeta.user, zeta.port) == ("zeta", "192.0.2.9", "ada", 2222)
    assert (zeta.key_file, zeta.known_hosts) == ("keys/id", "inventory/known_hosts")
    assert (alpha.address, alpha.engine_address) == ("192.0.2.3", "10.0.0.3")
    assert (alpha.forwarded_from, alpha.listen_address) == (None, "10.0.0.3")
    assert (behind.forwarded_from, behind.listen_address) == ("172.16.0.0/12", "0.0.0.0")  # noqa: S104
    assert behind.engine_address == "192.0.2.5"


def test_groups_of_groups_are_followed(tmp_path: Path) -> None:
    hosts = inventory(
        tmp_path,
        "[pis]\na ansible_host=192.0.2.1\nb ansible_host=192.0.2.2\n[cluster:children]\npis\n",
    )

    assert [node.name for node in read_cluster(tmp_path, hosts).nodes] == ["a", "b"]


def test_templates_are_filled_in_by_ansible_itself(tmp_path: Path) -> None:
    hosts = inventory(
        tmp_path,
        "[cluster]\na number=7\nb number=8\n",
        'ansible_host: "192.0.2.{{ number }}"\n',
    )

    assert [n.address for n in read_cluster(tmp_path, hosts).nodes] == ["192.0.2.7", "192.0.2.8"]


def test_vaulted_values_are_opened(tmp_path: Path) -> None:
    hosts = inventory(tmp_path, "[cluster]\na ansible_host=192.0.2.1\n")
    secret = subprocess.run(
        [ANSIBLE_VAULT, "encrypt_string", "--name", "ansible_user", "grace"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "group_vars" / "all.yml").write_text(secret)

    assert read_cluster(tmp_path, hosts).root.user == "grace"


def test_a_variable_that_cannot_be_worked_out_is_told(tmp_path: Path) -> None:
    hosts = inventory(tmp_path, "[cluster]\na\n", 'ansible_host: "{{ nowhere_set }}"\n')

    with pytest.raises(HerdError, match=r"ansible_host of a cannot be evaluated.*nowhere_set"):
        read_cluster(tmp_path, hosts)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[others]\na\n", "its group cluster is missing or empty"),
        (
            "[cluster]\na ansible_host=192.0.2.1 ansible_port=ssh\n",
            "a setting of SSH of a cannot be evaluated: Config 'port'",
        ),
        ("[cluster]\na ansible_host=no-such-host.invalid\n", "Set `herd_cluster_address`"),
        (
            "[cluster]\na ansible_host=192.0.2.1 herd_forwarded_from=windows\n",
            (
                "herd_forwarded_from of a is 'windows', which is not an IPv4 network such as "
                "172.16.0.0/12."
            ),
        ),
        ("[cluster\na\n", "hosts.ini"),
        *(
            (
                f"[cluster]\na ansible_host=192.0.2.1 ansible_port={port}\n",
                "a setting of SSH of a cannot be evaluated",
            )
            for port in ("65536", "-1", "0", "²", "9" * 5000)
        ),
        (f"[cluster]\na ansible_host={'x' * 70}.example\n", "Set `herd_cluster_address`"),
        ("[cluster]\na ansible_host=x..example\n", "Set `herd_cluster_address`"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(HerdError) as caught:
        read_cluster(tmp_path, inventory(tmp_path, text))
    assert told in str(caught.value)


@pytest.mark.parametrize("host", ['""', "", "~"])
def test_an_address_left_empty_is_the_name(tmp_path: Path, host: str) -> None:
    inventory(tmp_path, "")
    path = tmp_path / "hosts.yml"
    path.write_text(f"cluster:\n  hosts:\n    192.0.2.7:\n      ansible_host: {host}\n")

    assert read_cluster(tmp_path, str(path)).root.address == "192.0.2.7"


def test_an_inventory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match=r"nowhere\.ini|group cluster is missing"):
        read_cluster(tmp_path, str(tmp_path / "nowhere.ini"))


@pytest.mark.parametrize(
    "name", ["../x", "..", ".hidden", "-rf", "a\\b", "a\x07b", "\u202ea", "x" * 256]
)
def test_a_name_that_cannot_be_a_files_is_no_name_of_a_node(tmp_path: Path, name: str) -> None:
    inventory(tmp_path, "")
    path = tmp_path / "hosts.yml"
    path.write_text(json.dumps({"cluster": {"hosts": {name: {"ansible_host": "192.0.2.1"}}}}))

    with pytest.raises(HerdError, match="cannot be the name of a node") as caught:
        read_cluster(tmp_path, str(path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a b", "라마", "node-1.example", "a_b"])
def test_any_other_name_is_one(tmp_path: Path, name: str) -> None:
    inventory(tmp_path, "")
    path = tmp_path / "hosts.yml"
    path.write_text(json.dumps({"cluster": {"hosts": {name: {"ansible_host": "192.0.2.1"}}}}))

    assert read_cluster(tmp_path, str(path)).root.name == name
