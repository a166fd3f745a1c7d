"""A separate program that prints how Ansible's library reads an inventory, as JSON.

`experiments.fleet.inventory` starts it, with arguments of `ansible-inventory`. One process answers
all questions: who is in the group, in which order, and which settings Ansible's own connection to
each would have, whether they come from variables, `ansible.cfg` or the environment. Variables of
other hosts are not looked at, so what is encrypted there needs no password here.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible import constants
from ansible.cli import CLI
from ansible.cli.arguments import option_helpers
from ansible.cli.inventory import InventoryCLI
from ansible.constants import config
from ansible.errors import AnsibleError
from ansible.plugins.loader import connection_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # not promised by Ansible: without it, messages name no line
    Origin = None

GROUP = "cluster"
PLUGS = "smart_plugs"
LARGEST_PORT = 65_535
OWN_VARIABLES = (
    "herd_known_hosts",
    "herd_cluster_address",
    "herd_forwarded_from",
    "herd_gpu",
    "herd_gpu_index",
    "herd_electricity_price",
    "herd_electricity_currency",
    "lab_gateway",
    "lab_link_mbit",
)
PLUG_PREFIX = "plug_"
PLUG_VARIABLES = (
    "ansible_host",
    "plug_kind",
    "plug_port",
    "plug_channel",
    "plug_nodes",
    "plug_switch",
    "plug_user",
    "plug_password",
)
PASSWORDS = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
BECOME = ("ansible_become_method", "ansible_become_exe", "ansible_sudo_exe")
SSH_OPTIONS = (
    "host",
    "port",
    "remote_user",
    "private_key_file",
    "private_key",
    "pkcs11_provider",
    "password",
    "password_mechanism",
    "host_key_checking",
    "ssh_executable",
    "ssh_args",
    "ssh_common_args",
    "ssh_extra_args",
)
"""Of Ansible's `ssh` connection (`ansible-doc -t connection ssh`): those that lead to a node."""


class _UnfinishedError(Exception):
    """A value that cannot be evaluated: host, name, reason."""


class Reading(InventoryCLI):  # type: ignore[misc]  # Ansible ships no types
    """`ansible-inventory`, which answers with what a run needs to know.

    Attributes:
        answer: `nodes`, `plugs` and `groups` (names of all), or else `unfinished`: the host, the
            value that cannot be evaluated, and the reason. Plugs and nodes have `name`,
            `variables`, and their `places` (file and line) where Ansible knows them. A plug also
            has its `place`; a node has its `groups`, which of PASSWORDS are `given`, `connection`,
            how root is `become` there, and of SSH_OPTIONS those that are set (`options`) with
            their `origins`.
    """

    answer: dict[str, Any]

    def init_parser(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - passed on
        """Know the options of connections, too: some of what is in `ansible.cfg` comes by them."""
        super().init_parser(*given, **named)
        option_helpers.add_connect_options(self.parser)

    def run(self) -> int:
        """Read everything into `answer`."""
        super(InventoryCLI, self).run()
        self.loader, self.inventory, self.variables = self._play_prereqs()
        connection_loader.get("ssh", class_only=True)  # from now on its options are known
        HostVars(self.inventory, self.variables, self.loader)  # templates may ask for `hostvars`
        groups = self.inventory.get_groups_dict()
        names = groups.get(GROUP, [])
        password = _password() if names else None
        try:
            nodes = [
                {**self._node(name, password), "groups": [g for g in groups if name in groups[g]]}
                for name in names
            ]
            plugs = [self._plug(name) for name in groups.get(PLUGS, []) if names]
        except _UnfinishedError as error:
            Reading.answer = {"unfinished": error.args}
        else:
            Reading.answer = {"groups": list(groups), "nodes": nodes, "plugs": plugs}
        return 0

    def _known(self, name: str) -> dict[str, Any]:
        with _told(name, "a variable"):
            known: dict[str, Any] = self.variables.get_vars(host=self.inventory.get_host(name))
        return known

    def _finished(
        self, name: str, known: dict[str, Any], variables: Iterable[str]
    ) -> dict[str, Any]:
        """Evaluate those of the variables that a host has."""
        templar = Templar(loader=self.loader, variables=known)
        told = {}
        for variable in variables:
            if known.get(variable) is not None:
                with _told(name, variable):
                    told[variable] = templar.template(known[variable])
        return told

    def _plug(self, name: str) -> dict[str, Any]:
        known = self._known(name)
        own = [variable for variable in known if variable.startswith(PLUG_PREFIX)]
        return {
            "name": name,
            # Of one that no plug has, only the name is of use.
            "variables": {
                **dict.fromkeys(name for name in own if name not in PLUG_VARIABLES),
                **self._finished(name, known, PLUG_VARIABLES),
            },
            "places": _places(known, (*own, "ansible_host")),
            "place": _place(self.inventory.get_host(name).name),
        }

    def _node(self, name: str, password: str | None) -> dict[str, Any]:
        known = self._known(name)

        def finished(variables: Iterable[str]) -> dict[str, Any]:
            return self._finished(name, known, variables)

        connection = finished(["ansible_connection"]).get("ansible_connection")
        of_ssh = finished(config.get_plugin_vars("connection", "ssh"))
        with _told(name, "a setting of SSH"):
            options, origins = config.get_plugin_options_and_origins(
                "connection", "ssh", variables=of_ssh
            )
        if options["port"] is not None and not 1 <= options["port"] <= LARGEST_PORT:
            raise _UnfinishedError(name, "a setting of SSH", f"not a port from 1 to {LARGEST_PORT}")
        options["password"] = options["password"] or password
        set_options = [option for option in SSH_OPTIONS if options[option] not in (None, "")]
        become = finished(BECOME)
        return {
            "name": name,
            "become": {
                "method": become.get("ansible_become_method") or constants.DEFAULT_BECOME_METHOD,
                "exe": become.get("ansible_sudo_exe")
                or become.get("ansible_become_exe")
                or constants.DEFAULT_BECOME_EXE,
            },
            "variables": finished(OWN_VARIABLES),
            "places": _places(known, OWN_VARIABLES),
            "given": [variable for variable in PASSWORDS if known.get(variable)],
            "connection": str(connection or constants.DEFAULT_TRANSPORT),
            "options": {option: options[option] for option in set_options},
            "origins": {option: origins[option] for option in set_options},
        }


def _places(known: Mapping[str, Any], variables: Iterable[str]) -> dict[str, str]:
    """Return the file and line of variables: of their value, or where it can have none, its key."""
    keys = {key: key for key in known}
    found = {name: _place(known[name]) or _place(keys[name]) for name in variables if name in known}
    return {name: place for name, place in found.items() if place}


def _place(value: object) -> str:
    """Return where Ansible read something, as `FILE, line N`; empty where it does not say."""
    origin = None if Origin is None else Origin.get_tag(value)
    if origin is None or origin.path is None or origin.line_num is None:
        return ""
    path = os.path.relpath(origin.path)
    return f"{origin.path if path.startswith('..') else path}, line {origin.line_num}"


@contextmanager
def _told(name: str, variable: str) -> Iterator[None]:
    try:
        yield
    except (AnsibleError, ValueError, TypeError) as error:
        raise _UnfinishedError(name, variable, str(error)) from None


def _password() -> str | None:
    """The password for SSH that belongs to no host: from a file, or asked for (`ask_pass`)."""
    if constants.CONNECTION_PASSWORD_FILE:
        told: str = CLI.get_password_from_file(constants.CONNECTION_PASSWORD_FILE)
        return told
    return getpass.getpass("SSH password: ") if constants.DEFAULT_ASK_PASS else None


if __name__ == "__main__":
    # Whatever else prints, plugins and Ansible's own messages, does not stand between the answer.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        sys.argv[0] = "ansible-inventory"
        try:
            Reading.cli_executor(["ansible-inventory", "--list", *sys.argv[1:]])
        except SystemExit as ended:
            if ended.code:
                raise
        json.dump(Reading.answer, out, default=str)
