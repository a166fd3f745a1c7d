"""The machines as Ansible's inventory has them; Ansible itself is asked, nothing is parsed here."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collect.errors import HerdError
from experiments import commands
from experiments.cluster import Cluster, Node
from experiments.lab import LAB_IS_DOWN, lab_is_up
from experiments.programs import beside_python
from experiments.told import whole
from models.foreign import is_file_name, one_line

GROUP = "cluster"
INVENTORY_S = 120
LARGEST_PORT = 65_535
_PORT = re.compile(r"[1-9][0-9]{0,4}")
CONNECTION_VARIABLES = (
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_ssh_private_key_file",
    "herd_known_hosts",
    "herd_cluster_address",
    "herd_forwarded_from",
    "lab_gateway",
    "lab_link_mbit",
)


def read_cluster(
    project: Path, inventory: str | None = None, *, must_resolve: bool = True
) -> Cluster:
    """The nodes of group `cluster`, in the inventory's order. Sends no packet.

    Args:
        project: folder with `ansible.cfg`.
        inventory: another inventory than that of `ansible.cfg`.
        must_resolve: whether a name without an IPv4 address is an error; else it stays a name.

    Raises:
        HerdError: the inventory cannot be read, has no such group, or is the lab's and the lab
            is down.
    """
    commands.remember(inventory)
    content = listed(project, inventory)
    variables: dict[str, dict[str, Any]] = content.get("_meta", {}).get("hostvars", {})
    names = _members(content, GROUP)
    if not names:
        if "lab_down" in content.get("all", {}).get("children", []):
            raise HerdError(LAB_IS_DOWN)
        raise HerdError(
            f"Reading the inventory: its group {GROUP} is missing or empty. List the machines "
            "there, the root first; inventory/example.yml shows how."
        )
    known = {name: variables.get(name, {}) for name in names}
    if any(_is_unfinished(value) for told in known.values() for value in _of_interest(told)):
        known = _finished(project, inventory, names)
    told = {name: {**variables.get(name, {}), **known[name]} for name in names}
    commands.remember(inventory, {name: commands.may_ask(told[name]) for name in names})
    nodes = tuple(_node(name, known[name], must_resolve=must_resolve) for name in names)
    gateway = _text(known[names[0]].get("lab_gateway"))
    if gateway is not None and not lab_is_up(gateway):
        raise HerdError(LAB_IS_DOWN)
    return Cluster(nodes=nodes)


def listed(project: Path, inventory: str | None) -> dict[str, Any]:
    """What `ansible-inventory --list` tells: groups, and below `_meta` the variables of hosts.

    Raises:
        HerdError: the inventory cannot be read.
    """
    told = _ansible(project, "ansible-inventory", _chosen(inventory), "--list")
    try:
        content: dict[str, Any] = json.loads(told)
    except json.JSONDecodeError:
        raise HerdError(
            f"Reading the inventory: ansible-inventory printed no JSON: {told[:200]}"
        ) from None
    return content


def _chosen(inventory: str | None) -> list[str]:
    return [] if inventory is None else ["-i", inventory]


def _members(content: Mapping[str, Any], group: str) -> list[str]:
    """Hosts of a group and of its children, each once, in order."""
    entry = content.get(group, {})
    names = list(entry.get("hosts", []))
    for child in entry.get("children", []):
        names += _members(content, child)
    return list(dict.fromkeys(names))


def _of_interest(told: Mapping[str, Any]) -> list[Any]:
    return [told[name] for name in CONNECTION_VARIABLES if name in told]


def _is_unfinished(value: object) -> bool:
    """Whether a value is a template or still encrypted, as ansible-inventory passes them on."""
    return isinstance(value, dict) or (isinstance(value, str) and "{{" in value)


def _finished(project: Path, inventory: str | None, names: list[str]) -> dict[str, dict[str, Any]]:
    """The variables as a playbook would see them: templates filled in, vaults opened.

    Ansible fills in templates only while it runs a task; `debug` runs on this machine alone.
    """
    listed = ", ".join(f"'{name}'" for name in CONNECTION_VARIABLES)
    values = ", ".join(f"{name} | default(none)" for name in CONNECTION_VARIABLES)
    printed = _ansible(
        project,
        "ansible",
        _chosen(inventory),
        GROUP,
        "--module-name=ansible.builtin.debug",
        f"--args=msg={{{{ dict([{listed}] | zip([{values}])) }}}}",
    )
    try:
        plays = json.loads(printed)["plays"]
        results: dict[str, dict[str, Any]] = plays[0]["tasks"][0]["hosts"]
    except (json.JSONDecodeError, LookupError):
        raise HerdError(
            f"Reading the inventory: ansible did not tell its variables: {printed[:300]}"
        ) from None
    known = {}
    for name in names:
        told = results[name].get("msg")
        if not isinstance(told, dict):
            raise HerdError(
                f"Reading the inventory: a connection variable of {name} cannot be worked out: "
                f"{told}. It is one of {', '.join(CONNECTION_VARIABLES)}."
            )
        known[name] = told
    return known


def _ansible(project: Path, program: str, *arguments: str | list[str]) -> str:
    """What one of Ansible's programs prints.

    Raises:
        HerdError: it is not installed, or it failed.
    """
    argv = [beside_python(program)]
    for argument in arguments:
        argv += [argument] if isinstance(argument, str) else argument
    environment = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    }
    try:
        done = subprocess.run(
            argv,
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INVENTORY_S,
            check=False,
        )
    except FileNotFoundError:
        raise HerdError(
            f"Reading the inventory: {program} is not installed. `make` installs it; or activate "
            "the project's virtual environment."
        ) from None
    except subprocess.TimeoutExpired:
        raise HerdError(
            f"Reading the inventory: {program} did not end within {INVENTORY_S} s."
        ) from None
    # An ad-hoc `debug` that fails on a host exits non-zero and still prints its results.
    if done.returncode != 0 and not done.stdout.strip().startswith("{"):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise HerdError(
            f"Reading the inventory: {program} failed: {' '.join(lines[:6]) or done.stdout[:300]}"
        )
    return done.stdout


def _node(name: str, told: Mapping[str, Any], *, must_resolve: bool) -> Node:
    if not is_file_name(name):
        raise HerdError(
            f"Reading the inventory: `{one_line(name, 80)}` cannot be the name of a node, because "
            "logs are named after it. Begin it with a letter or digit, without `/` and `\\`."
        )
    address = _text(told.get("ansible_host")) or name
    port = str(told.get("ansible_port") or 22)
    if not _PORT.fullmatch(port) or int(port) > LARGEST_PORT:
        raise HerdError(
            f"Reading the inventory: ansible_port of {name} is {one_line(port, 40)}, no port from "
            f"1 to {LARGEST_PORT}."
        )
    return Node(
        name=name,
        address=address,
        engine_address=_engine_address(name, told, address, must_resolve=must_resolve),
        user=_text(told.get("ansible_user")),
        port=int(port),
        key_file=_text(told.get("ansible_ssh_private_key_file")),
        known_hosts=_text(told.get("herd_known_hosts")),
        forwarded_from=_forwarded_from(name, told),
        lab_link_mbit=_lab_link_mbit(told),
    )


def _lab_link_mbit(told: Mapping[str, Any]) -> int | None:
    """Only where a lab's gateway is, too: anybody may set a variable of that name."""
    return whole(str(told.get("lab_link_mbit"))) if told.get("lab_gateway") else None


def _engine_address(name: str, told: Mapping[str, Any], address: str, *, must_resolve: bool) -> str:
    """Address for engines among themselves: they take IPv4 addresses, no names."""
    wanted = _text(told.get("herd_cluster_address")) or address
    try:
        return str(ipaddress.IPv4Address(wanted))
    except ValueError:
        pass
    try:
        return socket.gethostbyname(wanted)
    except (OSError, UnicodeError):  # the latter for a name that can be none
        if not must_resolve:
            return wanted
        raise HerdError(
            f"Reading the inventory: {name} is at {wanted!r}, which is no IPv4 address and cannot "
            "be resolved to one. Set `herd_cluster_address` of that node."
        ) from None


def _forwarded_from(name: str, told: Mapping[str, Any]) -> str | None:
    network = _text(told.get("herd_forwarded_from"))
    try:
        return network and str(ipaddress.IPv4Network(network))
    except ValueError:
        raise HerdError(
            f"Reading the inventory: herd_forwarded_from of {name} is {network!r}, no IPv4 network "
            "such as 172.16.0.0/12."
        ) from None


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
