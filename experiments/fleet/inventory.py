"""The machines as Ansible's inventory has them; Ansible itself is asked, nothing is parsed here."""

from __future__ import annotations

import ipaddress
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

from core.errors import HerdError
from core.foreign import is_file_name, one_line, whole
from core.terminal import complain
from experiments.fleet import commands
from experiments.fleet.addresses import NodeAddress, ipv4, refusals
from experiments.fleet.cluster import CLUSTER, Backend, Cluster, Node, Secret, SshSettings
from experiments.fleet.lab import LAB_IS_DOWN, lab_is_up
from experiments.fleet.plugs import read_electricity, read_plugs
from experiments.fleet.programs import ask_ansible, beside_python, of_config, with_remedy

SSH_PORT = 22
NO_GPU = "none"
"""What the variable `herd_gpu` says where engines use no GPU."""
MOST_GPUS = 16
"""As many as the helper on a node distinguishes."""
PLAYS = "playbooks/parts"
PROGRAM = Path(__file__).with_name("ansible_reading.py")
DOING = "Reading the inventory"
CONNECTIONS: Mapping[str, Literal["ssh", "local"]] = {
    "ssh": "ssh",
    "ansible.builtin.ssh": "ssh",
    "smart": "ssh",
    "local": "local",
    "ansible.builtin.local": "local",
}
"""Ansible's connections that `fab` has, too; `smart` has been OpenSSH for years."""
WHERE = ("ansible_host", "ansible_ssh_host", "herd_cluster_address")
"""Variables that say where a machine is."""
NOT_FOLLOWED = {
    "private_key": "the text of a private key. Put it in a file, and name the file in "
    "ansible_ssh_private_key_file",
    "pkcs11_provider": "a smart card key provider. Load its key into ssh-agent (ssh-add -s), or "
    "name it in ~/.ssh/config (PKCS11Provider)",
}
"""Settings of Ansible's that lead to a node in a way which `fab` does not have."""


def read_cluster(
    project: Path, inventory: str | None = None, *, must_resolve: bool = True
) -> Cluster:
    """The nodes of group `cluster`, in the order of Ansible's `groups['cluster']`. Sends no packet.

    Args:
        project: folder with `ansible.cfg`.
        inventory: another inventory than that of `ansible.cfg`.
        must_resolve: whether an engine address that other nodes cannot reach is an error; else it
            stays as it is written.

    Raises:
        HerdError: the inventory cannot be read, has no such group, sets what cannot be followed,
            or is the lab's and the lab is down.
    """
    commands.remember(inventory)
    content, said = _asked(project, inventory)
    told: list[dict[str, Any]] = content["nodes"]
    if not told:
        if "lab_down" in content["groups"]:
            raise HerdError(LAB_IS_DOWN)
        because = f" Ansible says: {said}" if said else ""
        raise HerdError(
            f"{DOING}: its group {CLUSTER} is missing or empty. List the machines there, the root "
            f"first; see inventory/example.yml.{because}{of_config()}"
        )
    if said:
        complain(f"{DOING}: Ansible says: {said}")
    commands.remember(inventory, {one["name"]: commands.may_ask(_of_root(one)) for one in told})
    gateway = _text(told[0]["variables"].get("lab_gateway"))
    if gateway is not None and not lab_is_up(gateway):
        raise HerdError(LAB_IS_DOWN)
    places = [_place(one) for one in told]
    if must_resolve and (wrong := refusals(places)):
        raise HerdError(f"{DOING}: {' '.join(wrong)}")
    return Cluster(
        tuple(_node(one, place) for one, place in zip(told, places, strict=True)),
        plugs=read_plugs(content["plugs"], [place.name for place in places]),
        electricity=read_electricity(told[0]["variables"], told[0]["places"]),
    )


def listed(project: Path, inventory: str | None) -> dict[str, Any]:
    """The output of `ansible-inventory --list`: groups, and below `_meta` the variables of hosts.

    Raises:
        HerdError: the inventory cannot be read.
    """
    told, _ = ask_ansible(
        [beside_python("ansible-inventory"), "--list", *_chosen(inventory)], project, DOING
    )
    content: dict[str, Any] = json.loads(told)
    return content


def listed_machines(project: Path, inventory: str | None = None) -> dict[str, tuple[str, ...]]:
    """Name to addresses of every machine of the inventory, nodes and others.

    Args:
        project: folder with `ansible.cfg`.
        inventory: another inventory than that of `ansible.cfg`.

    Raises:
        HerdError: the inventory cannot be read.
    """
    content = listed(project, inventory)
    known: dict[str, dict[str, Any]] = content.get("_meta", {}).get("hostvars", {})
    groups = [group for group in content.values() if isinstance(group, dict)]
    names = dict.fromkeys([*known, *(host for group in groups for host in group.get("hosts", ()))])
    return {
        name: tuple(
            told
            for variable in WHERE
            if isinstance(told := known.get(name, {}).get(variable), str) and told
        )
        for name in names
    }


def _asked(project: Path, inventory: str | None) -> tuple[dict[str, Any], str]:
    """What `ansible_reading` answers, and what Ansible warned of."""
    argv = [sys.executable, "-P", str(PROGRAM), *_chosen(inventory)]
    if (project / PLAYS).is_dir():  # group_vars and plugins beside plays count, as in a play
        argv += ["--playbook-dir", PLAYS]
    told, said = ask_ansible(argv, project, DOING)
    content: dict[str, Any] = json.loads(told)
    if "unfinished" in content:
        name, what, why = (one_line(text, 400) for text in content["unfinished"])
        raise HerdError(with_remedy(f"{DOING}: {what} of {name} cannot be evaluated: {why}."))
    return content, said


def _chosen(inventory: str | None) -> list[str]:
    return [] if inventory is None else ["-i", inventory]


def _of_root(told: Mapping[str, Any]) -> dict[str, object]:
    """The settings that decide whether becoming root asks for a password."""
    user = told["options"].get("remote_user")
    return {**told["variables"], "ansible_user": user, **dict.fromkeys(told["given"], True)}


def _place(told: Mapping[str, Any]) -> NodeAddress:
    """Where a node is.

    Raises:
        HerdError: its name can be none.
    """
    name, options = told["name"], told["options"]
    if not is_file_name(name):
        raise HerdError(
            f"{DOING}: `{one_line(name, 80)}` cannot be the name of a node, because logs are "
            "named after it. Start it with a letter or digit, and use no `/` or `\\`."
        )
    return NodeAddress(
        name=name,
        ssh=str(options.get("host", name)),
        cluster=_text(told["variables"].get("herd_cluster_address")),
        port=options.get("port", SSH_PORT),
        way=(told["connection"], *_arguments(name, options)),
        is_here=CONNECTIONS.get(told["connection"]) == "local",
    )


def _node(told: Mapping[str, Any], place: NodeAddress) -> Node:
    name, options, variables = place.name, told["options"], told["variables"]
    _refuse_what_cannot_be_followed(told)
    password = options.get("password")
    if options.get("password_mechanism") == "disable":
        password = None
    return Node(
        name=name,
        address=place.ssh,
        engine_address=ipv4(place.wanted) or place.wanted,
        user=_text(options.get("remote_user")),
        port=place.port,
        key_file=_text(options.get("private_key_file")),
        known_hosts=_text(variables.get("herd_known_hosts")),
        connection=CONNECTIONS[told["connection"]],
        ssh=SshSettings(
            executable=str(options.get("ssh_executable", "ssh")),
            arguments=_arguments(name, options),
            password=None if password is None else Secret(str(password)),
        ),
        become_method=str(told["become"]["method"]).removeprefix("ansible.builtin."),
        become_exe=_text(told["become"]["exe"]),
        forwarded_from=_forwarded_from(name, variables),
        lab_link_mbit=_lab_link_mbit(variables),
        groups=frozenset(told["groups"]),
        herd_gpu=_herd_gpu(name, variables),
        gpu_index=_gpu_index(name, variables),
    )


def _refuse_what_cannot_be_followed(told: Mapping[str, Any]) -> None:
    name, connection = told["name"], told["connection"]
    if connection not in CONNECTIONS:
        raise HerdError(
            f"{DOING}: Ansible would connect to {name} with the connection "
            f"`{one_line(str(connection), 40)}` (ansible_connection, ANSIBLE_TRANSPORT, or "
            "`transport` in ansible.cfg), which fab does not support. Use `ssh`, or `local` "
            "for this machine. A Windows machine belongs in group windows_hosts, and its Linux "
            f"guest in group {CLUSTER}."
        )
    for option, what in NOT_FOLLOWED.items():
        if option in told["options"] and CONNECTIONS[connection] == "ssh":
            raise HerdError(
                f"{DOING}: {told['origins'][option].removeprefix('var: ')} of {name} gives {what}; "
                "fab cannot follow it."
            )


def _arguments(name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """What Ansible passes to OpenSSH, in its order: of an option OpenSSH takes the first."""
    arguments = _split(name, "ssh_args", options)
    if options.get("host_key_checking") is False:
        arguments += ["-o", "StrictHostKeyChecking=no"]
    if "port" in options:
        arguments += ["-o", f"Port={options['port']}"]
    arguments += _split(name, "ssh_common_args", options)
    return (*arguments, *_split(name, "ssh_extra_args", options))


def _split(name: str, option: str, options: Mapping[str, Any]) -> list[str]:
    try:
        return shlex.split(str(options.get(option, "")))
    except ValueError as error:
        raise HerdError(
            f"{DOING}: {option} of {name} cannot be split into words ({error}); check its "
            "quotation marks."
        ) from None


def _lab_link_mbit(told: Mapping[str, Any]) -> int | None:
    """Only where a lab's gateway is, too: anyone may set a variable of that name."""
    return whole(str(told.get("lab_link_mbit"))) if told.get("lab_gateway") else None


def _herd_gpu(name: str, told: Mapping[str, Any]) -> Backend | None:
    value = told.get("herd_gpu", NO_GPU)
    if value == NO_GPU:
        return None
    if value in get_args(Backend):
        return cast("Backend", value)
    allowed = ", ".join((NO_GPU, *get_args(Backend)))
    raise HerdError(
        f"{DOING}: herd_gpu of {name} is {_in_yaml(value)}, but it must be one of {allowed}."
    )


def _in_yaml(value: object) -> str:
    """A value as an inventory has it: Python's `None` would be taken for the word `none`."""
    if value is None or value == "":
        return "empty"
    spelled = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"`{one_line(spelled, 40)}`"


def _gpu_index(name: str, told: Mapping[str, Any]) -> int:
    value = told.get("herd_gpu_index", 0)
    index = whole(str(value))
    if index is None or not 0 <= index < MOST_GPUS:
        raise HerdError(
            f"{DOING}: herd_gpu_index of {name} is {_in_yaml(value)}, but it must be "
            f"the number of one of its GPUs, from 0 to {MOST_GPUS - 1}."
        )
    return index


def _forwarded_from(name: str, told: Mapping[str, Any]) -> str | None:
    network = _text(told.get("herd_forwarded_from"))
    try:
        return network and str(ipaddress.IPv4Network(network))
    except ValueError:
        raise HerdError(
            f"{DOING}: herd_forwarded_from of {name} is {network!r}, which is not an IPv4 "
            "network such as 172.16.0.0/12."
        ) from None


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
