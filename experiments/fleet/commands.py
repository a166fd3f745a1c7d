"""The commands that remedies name: each can be pasted into a shell in the project's folder.

All remedies that are printed are made here, because a command does what it says only with the
inventory of this invocation, with `-K` where becoming root may ask for a password, and with the
variables without which a playbook has nothing to do. What they all share is remembered once, where
the inventory is read: an invocation of `fab` has one inventory, and sentences come from places (a
node's answer that is damaged, a check of an engine) that know neither it nor the command line.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.paths import PROJECT_FOLDER
from experiments.fleet.programs import beside_python

VERBS_WITH_INVENTORY = frozenset(
    {
        *("adopt", "check-agreement", "compare", "doctor", "export-run", "finetune"),
        *("plan", "prepare", "probe", "run-matrix", "tune"),
    }
)
"""Verbs of `fab` that read an inventory."""
PASSWORDS = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
"""Variables that give the password for becoming root."""
ASKS_NOTHING = "export DEBIAN_FRONTEND=noninteractive"
"""Before commands for packages: no one answers their questions."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:+@-]+")
"""Values that `-e NAME=VALUE` passes on as they are."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What all commands of one invocation share.

    Attributes:
        inventories: as they are given to Ansible; empty for that of `ansible.cfg`.
        may_ask: of each node, whether becoming root may ask for a password that the inventory does
            not give. Nothing is known about a node that is not in it.
    """

    inventories: tuple[str, ...] = ()
    may_ask: Mapping[str, bool] = field(default_factory=dict)


_invocation = Invocation()


def remember(inventory: str | None, may_ask: Mapping[str, bool] | None = None) -> None:
    """Make all commands from now on for this inventory.

    Args:
        inventory: as given by `--inventory`; None for what ANSIBLE_INVENTORY names, or else
            `ansible.cfg`.
        may_ask: see `Invocation`.
    """
    global _invocation  # noqa: PLW0603 - one a process; the docstring above says why
    _invocation = Invocation(_inventories(inventory), dict(may_ask or {}))


def may_ask(told: Mapping[str, object]) -> bool:
    """Whether becoming root may ask for a password on a node.

    Args:
        told: the node's variables as the inventory has them; what is encrypted may stay so.
    """
    is_root = told.get("ansible_user") == "root"
    return not (is_root or told.get("lab_gateway") or any(map(told.get, PASSWORDS)))


@contextmanager
def remembered(
    inventory: str | None = None, may_ask: Mapping[str, bool] | None = None
) -> Iterator[None]:
    """The same for a while."""
    global _invocation  # noqa: PLW0603
    before = _invocation
    remember(inventory, may_ask)
    try:
        yield
    finally:
        _invocation = before


def _inventories(inventory: str | None) -> tuple[str, ...]:
    if inventory is not None:
        return (inventory,)
    # Ansible's list of paths; `-i` would take one with a comma for names of hosts.
    named = os.environ.get("ANSIBLE_INVENTORY", "").split(",")
    return tuple(path.strip() for path in named if path.strip())


def provision(
    *tags: str,
    limit: Iterable[str] = (),
    variables: Mapping[str, object] | None = None,
    password: bool | None = None,
) -> str:
    """`ansible-playbook provision.yml` with all that it needs.

    Args:
        tags: only what has one of them.
        limit: only these nodes.
        variables: in place of the inventory's (`-e`).
        password: whether becoming root asks for a password on these nodes; None where only the
        inventory knows.
    """
    argv = provision_argv(*tags, limit=limit, variables=variables, password=password)
    return _shell(argv, _settings())


def provision_argv(
    *tags: str,
    limit: Iterable[str] = (),
    variables: Mapping[str, object] | None = None,
    password: bool | None = None,
) -> list[str]:
    """Return the words of that command, to run it."""
    nodes = list(limit)
    argv = [_program("ansible-playbook")]
    for inventory in _invocation.inventories:
        argv += ["-i", inventory]
    argv.append("provision.yml")
    if password if password is not None else _may_ask(nodes):
        argv.append("-K")
    if tags:
        argv += ["--tags", ",".join(tags)]
    if nodes:
        argv += ["--limit", ",".join(nodes)]
    for name, value in (variables or {}).items():
        argv += ["-e", _variable(name, value)]
    return argv


def on_node(node: str, command: str, *, method: str | None = None, root: bool = True) -> str:
    """A shell command on a node, by the way in which Ansible reaches it; no Python is needed there.

    Args:
        node: its name in the inventory.
        command: for the node's shell.
        method: how root is become, in place of the inventory's way; it asks for a password.
        root: whether it is run as root.
    """
    argv = [_program("ansible"), node]
    for inventory in _invocation.inventories:
        argv += ["-i", inventory]
    if root:
        argv.append("-b")
        argv += ["--become-method", method] if method else []
        argv += ["-K"] if method or _may_ask([node]) else []
    argv += ["-m", "raw", "-a", command]
    return _shell(argv, _settings())


def _may_ask(nodes: Sequence[str]) -> bool:
    """Whether a password may be asked for on one of these nodes; without any, on one of all."""
    known = _invocation.may_ask
    return not known or any(known.get(node, True) for node in nodes or known)


def _variable(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"{name}={'true' if value else 'false'}"
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return f"{name}={value}"
    return json.dumps({name: value})


def fab(verb: str, *words: str) -> str:
    """A verb of `fab`, with the inventory where it reads one."""
    argv = [_program("fab"), verb, *words]
    inventories = _invocation.inventories if verb in VERBS_WITH_INVENTORY else ()
    if len(inventories) > 1:  # `--inventory` takes one
        return _shell(argv, {"ANSIBLE_INVENTORY": ",".join(inventories)})
    return _shell([*argv, *(word for path in inventories for word in ("--inventory", path))])


def inventory_path() -> str:
    """The inventory that this invocation reads, for a sentence."""
    return ", ".join(_invocation.inventories) or "the inventory"


def from_project(path: str) -> str:
    """A path that the command line gave, as it is written in the project's folder."""
    return below(Path(path).resolve())


def python_module(name: str, *words: str) -> str:
    """`python -m` of one of the project's modules, with the project's own Python."""
    return _shell([below(Path(sys.executable)), "-m", name, *words])


def _program(name: str) -> str:
    """A program by its name alone, if the shell finds it so."""
    return name if shutil.which(name) else below(Path(beside_python(name)))


def below(path: Path, project: Path = PROJECT_FOLDER) -> str:
    """A path as commands in the project's folder have it."""
    return str(path.relative_to(project) if path.is_relative_to(project) else path)


def _settings() -> dict[str, str]:
    """Ansible passes over an ansible.cfg in a world-writable folder, unless it is named."""
    is_passed_over = PROJECT_FOLDER.stat().st_mode & 0o002 and not os.environ.get("ANSIBLE_CONFIG")
    return {"ANSIBLE_CONFIG": "ansible.cfg"} if is_passed_over else {}


def _shell(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    set_before = [f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items()]
    return " ".join([*set_before, shlex.join(argv)])
