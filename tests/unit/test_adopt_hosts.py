"""Machines added to inventories: every line that people wrote stays as they wrote it."""

from __future__ import annotations

import difflib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import HerdError
from experiments.adopt.files import read_whole, replace_whole
from experiments.adopt.fleet import Fleet, Newcomer, read_fleet
from experiments.adopt.ini_hosts import add_to_ini
from experiments.adopt.yaml_hosts import CannotAddError, add_to_yaml

PROJECT = Path(__file__).resolve().parents[2]
NEW = {"new": {"ansible_host": "192.0.2.9", "ansible_user": "pi"}}

VAULT = "!vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        6162\n"
ONE = "cluster:\n  hosts:\n    a:\n"
YAML_TABLE = {
    "the example": (PROJECT / "inventory" / "example.yml").read_text(),
    "nothing": "",
    "comments alone": "# mine\n",
    "a document's mark alone": "---\n",
    "a document's marks": f"---\n# mine\n{ONE}...\n",
    "no end of line": "cluster:\n  hosts:\n    a: {ansible_host: 192.0.2.1}",
    "CRLF": "cluster:\r\n  hosts:\r\n    a:\r\n      x: 192.0.2.1\r\n  vars:\r\n    x: 1\r\n",
    "four blanks": "all:\n    children:\n        cluster:\n            hosts:\n               a:\n",
    "comments inside and after": (
        f"{ONE}      ansible_host: 192.0.2.1\n      # its Petals: true\n"
        "    # b:\n  # of the group\n  vars:\n    x: 1  # why\n"
    ),
    "vars first": "cluster:\n  vars:\n    x: 1\n  hosts:\n    a:\nother:\n  hosts:\n    b:\n",
    "no hosts yet": "cluster:\n  vars:\n    x: [1, 2]\nother:\n  hosts:\n    b:\n",
    "an empty group": "all:\n  children:\n    cluster:\n    other:\n      hosts:\n        b:\n",
    "empty hosts": "cluster:\n  hosts:  # none yet\n\n  vars: {x: 1}\n",
    "no group": "all:\n  children:\n    other:\n      hosts:\n        b: &b {x: 1}\n  vars: {}\n",
    "no children": "all:\n  vars:\n    x: 'quoted'\n",
    "top level": "other:\n  hosts:\n    b:\n",
    "a vault": f"{ONE}      p: {VAULT}\n\n  vars:\n    x: !unsafe '{{{{ y }}}}'\n",
    "a vault at the end": f"{ONE}      p: {VAULT}",
    "anchors elsewhere": f"x: &x\n  vars: &v\n    k: 1\n{ONE}      <<: *v\n    b: *v\n",
    "a list at the end": f"{ONE}      models:\n        - one\n        - two: 2\n",
    "quoted keys": "'all':\n  \"children\":\n    'cluster':\n      'hosts':\n        'a':\n",
    "long words": f"{ONE}      a: one\n        two\n      b: >-\n        x\n        y\n",
    "Korean": "# 우리 집\ncluster:\n  hosts:\n    거실:\n      ansible_host: 192.0.2.1  # 첫째\n",
}


class Loose(yaml.SafeLoader):
    """Takes any tag."""


def _tagged(loader: Loose, suffix: str, node: yaml.Node) -> object:
    return (suffix, node.value)


Loose.add_multi_constructor("!", _tagged)


def with_new(before: dict[str, Any] | None) -> dict[str, Any]:
    """What should be told: the host is in the group, which is made where other groups stand."""
    before = before or {"all": {"children": {}}}
    groups = before if "all" not in before else before["all"].setdefault("children", {})
    group = groups.get("cluster") or {}
    groups["cluster"] = group
    group["hosts"] = {**(group.get("hosts") or {}), **NEW}
    return before


@pytest.mark.parametrize("text", YAML_TABLE.values(), ids=YAML_TABLE)
def test_lines_come_and_none_goes(text: str) -> None:
    added = add_to_yaml(text, "cluster", NEW)

    assert yaml.load(added, Loose) == with_new(yaml.load(text, Loose))  # noqa: S506 - it is safe
    lines = difflib.ndiff(text.splitlines(keepends=True), added.splitlines(keepends=True))
    gone = [line for line in lines if line.startswith("- ")]
    assert [line[2:] for line in gone] in ([], [text.splitlines()[-1] if text else ""])
    assert added.count("\r\n") == (added.count("\n") if "\r\n" in text else 0)


def test_a_host_stands_right_below_the_last_with_its_comments() -> None:
    text = YAML_TABLE["comments inside and after"]

    assert add_to_yaml(text, "cluster", NEW).splitlines()[4:10] == [
        "      # its Petals: true",
        "    # b:",
        "    new:",
        "      ansible_host: 192.0.2.9",
        "      ansible_user: pi",
        "  # of the group",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cluster: {hosts: {a: {}}}\n", "in braces"),
        ("cluster:\n  hosts: {}\n", "in braces"),
        ("x: &h\n  hosts:\n    a:\ncluster: *h\n", "alias"),
        ("cluster:\n  hosts: [a]\n", "in braces"),
        ("cluster:\n  hosts:\n    - a\n", "a list or a word"),
        ("cluster:\n  hosts: a\n", "a list or a word"),
        ("- a\n", "not a mapping"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("cluster:\n\thosts:\n", "line 2"),
    ],
)
def test_a_place_that_cannot_be_added_to_is_named(text: str, why: str) -> None:
    with pytest.raises(CannotAddError, match=why):
        add_to_yaml(text, "cluster", NEW)


def test_values_that_yaml_would_take_for_something_else_are_quoted() -> None:
    hosts = {
        "on": {"ansible_user": "1e3", "ansible_host": "2001:db8::1"},
        "007": {"k": "~/.ssh/a b"},
    }

    assert yaml.safe_load(add_to_yaml("", "cluster", hosts)) == {
        "all": {"children": {"cluster": {"hosts": hosts}}}
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "[cluster]\n+"),
        (
            "[cluster]\na x=1 # why\n\n# next\n[other]\nb\n",
            "[cluster]\na x=1 # why\n+\n# next\n[other]\nb\n",
        ),
        ("[other]\nb", "[other]\nb\n\n[cluster]\n+"),
        ("[cluster]\n[cluster:vars]\nx=1\n", "[cluster]\n+[cluster:vars]\nx=1\n"),
        ("a\r\n[cluster]\r\na\r\n", "a\r\n[cluster]\r\na\r\n+"),
        ("[cluster] ; mine\n;b\na\n", "[cluster] ; mine\n;b\na\n+"),
        ("[cluster]\na\n[b]\n[cluster]\nc\n", "[cluster]\na\n[b]\n[cluster]\nc\n+"),
    ],
)
def test_ini_gets_a_line_at_the_end_of_the_section(text: str, told: str) -> None:
    line = "new ansible_host=192.0.2.9 ansible_user=pi"
    feed = "\r\n" if "\r" in text else "\n"

    assert add_to_ini(text, "cluster", NEW) == told.replace("+", line + feed)


NEWCOMER = Newcomer("new", NEW["new"], ("raspberry_pis",))


def tried(folder: Path, text: str, name: str = "fleet.yml") -> list[str]:
    """Names of the cluster's nodes as Ansible reads them once the newcomer was written."""
    (folder / "ansible.cfg").write_text("")
    (folder / name).write_text(text)
    fleet = read_fleet(folder, name)
    content = fleet.with_newcomers([NEWCOMER])
    (node,) = fleet.tried(content, [NEWCOMER])
    fleet.write(content)
    assert (node.name, node.address, node.user) == ("new", "192.0.2.9", "pi")
    after = read_fleet(folder, name)
    assert "new" in after.listing["raspberry_pis"]["hosts"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["ansible.cfg", name])
    return [node.name for node in after.nodes]


def test_ansible_reads_the_same_and_the_newcomer_last(tmp_path: Path) -> None:
    nodes = tried(tmp_path, YAML_TABLE["the example"])

    assert nodes == ["pi1", "pi2", "pi3", "desk", "laptop_wsl", "new"]


def test_ansible_reads_ini_likewise(tmp_path: Path) -> None:
    text = "[cluster]\na ansible_host=192.0.2.1\n[all:vars]\nansible_port=2222\n"

    assert tried(tmp_path, text, "hosts.ini") == ["a", "new"]


@pytest.mark.parametrize(
    ("text", "is_yaml"),
    [
        ("# ours\ncluster:\n  hosts:\n    a:\n", True),
        ("---\n# ours:\ncluster: # the group\n  hosts:\n    a:\n", True),
        ("# ours:\n[cluster]\na\n", False),
        ("# a: b\n", False),
        ("a\n", False),
        ("a:2222\n[cluster]\na\n", False),
        ("[cluster:children]\npis\n", False),
    ],
)
def test_a_file_of_no_kind_by_its_name_is_read_for_what_it_is(
    tmp_path: Path, text: str, is_yaml: object
) -> None:
    (tmp_path / "hosts").write_text(text)
    fleet = Fleet(tmp_path, "hosts", text.encode(), (), frozenset(), {})

    added = fleet.with_newcomers([NEWCOMER]).decode()

    assert ("[cluster]" not in added) is is_yaml
    assert ("new:\n" in added) is is_yaml


def test_lines_to_add_by_hand_keep_the_root_and_are_of_the_kind_of_the_file(tmp_path: Path) -> None:
    text = "[pis]\na ansible_host=192.0.2.1\n[cluster:children]\npis\n"

    with pytest.raises(HerdError, match="was not changed") as raised:
        tried(tmp_path, text, "hosts.ini")

    lines = str(raised.value).partition(":\n\n")[2]
    line = "new ansible_host=192.0.2.9 ansible_user=pi"
    assert lines == f"[pis]\n{line}\n\n[raspberry_pis]\nnew\n"
    text += "[raspberry_pis]\n"
    (tmp_path / "hosts.ini").write_text(text.replace("[cluster", f"{line}\n[cluster"))
    after = read_fleet(tmp_path, "hosts.ini")
    assert [node.name for node in after.nodes] == ["a", "new"], "the root stays"


@pytest.mark.parametrize(
    "text",
    [
        # The newcomer would come first, so the fleet would have another root.
        "pis:\n  hosts:\n    a:\n      ansible_host: 192.0.2.1\ncluster:\n  children:\n    pis:\n",
        # The hosts of the other group are the same mapping, and it would get the newcomer, too.
        "cluster:\n  hosts: &h\n    a:\n      ansible_host: 192.0.2.1\nother:\n  hosts: *h\n",
        "cluster: {hosts: {a: {ansible_host: 192.0.2.1}}}\n",
    ],
)
def test_an_inventory_that_would_say_something_else_is_left_alone(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(HerdError, match=r"(?s)was not changed.*ansible_host: 192\.0\.2\.9"):
        tried(tmp_path, text)

    assert (tmp_path / "fleet.yml").read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ansible.cfg", "fleet.yml"]


def test_what_is_no_file_of_hosts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[inventory]\nenable_plugins = script, auto, yaml, ini\n")
    (tmp_path / "folder").mkdir()
    script = tmp_path / "hosts"
    script.write_text("#!/bin/sh\necho '{}'\n")
    script.chmod(0o755)
    (tmp_path / "some.toml").write_text("[cluster.hosts.a]\n")
    (tmp_path / "closed.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    for name, why in {
        "folder": "this is a folder",
        "none/fleet.yml": "there is no folder",
        "a,b": "a list of names",
        "hosts": "it is a program",
    }.items():
        with pytest.raises(HerdError, match=why):
            read_fleet(tmp_path, name).with_newcomers([NEWCOMER])
    with pytest.raises(HerdError, match="a plugin"):
        read_fleet(PROJECT, "inventory/lab.yml")
    with pytest.raises(HerdError, match="vault"):
        read_fleet(tmp_path, "closed.yml")


def test_links_modes_and_changes_of_others_are_kept(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("")
    real = tmp_path / "real.yml"
    real.write_text("cluster:\n  hosts:\n    a:\n      ansible_host: 192.0.2.1\n")
    real.chmod(0o640)
    (tmp_path / "fleet.yml").symlink_to("real.yml")
    fleet = read_fleet(tmp_path, "fleet.yml")
    content = fleet.with_newcomers([NEWCOMER])
    fleet.write(content)

    assert (tmp_path / "fleet.yml").is_symlink()
    assert (real.read_bytes(), real.stat().st_mode & 0o777) == (content, 0o640)
    with pytest.raises(HerdError, match="changed in the meantime"):
        fleet.write(content)


def test_of_two_who_write_at_once_none_loses_what_the_other_wrote(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("")

    def add(line: int) -> None:
        while True:
            before = read_whole(path) or b""
            with suppress(HerdError):
                return replace_whole(path, before, before + f"{line}\n".encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(64)))

    assert sorted(map(int, path.read_text().split())) == list(range(64))
