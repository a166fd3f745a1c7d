"""What of the SSH arguments in the inventory and ansible.cfg is kept, and how a jump is written."""

from __future__ import annotations

import getopt
import os
from pathlib import Path

from core.errors import HerdError
from core.foreign import one_line
from experiments.fleet.cluster import Node

OUR_CONFIG = "ssh.cfg"
"""Ansible's part of the same rules, as ansible.cfg names it."""
ALL_OPTIONS = "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy"
KEPT_OPTIONS = frozenset("46bBcCiIJklmop")
"""Those that say how to reach a machine. The others say what to do there, and what to print."""


def kept_arguments(node: Node, project: Path) -> tuple[list[str], str | None]:
    """Return those of Ansible's arguments that say how to reach a node, and the file of `-F`.

    Raises:
        HerdError: they are no options of OpenSSH, or name a file that does not exist.
    """
    arguments = list(node.ssh.arguments)
    try:
        options, rest = getopt.getopt(arguments, ALL_OPTIONS)
    except getopt.GetoptError as error:
        raise HerdError(_not_followed(node, str(error))) from None
    if rest:
        raise HerdError(
            _not_followed(node, f"`{one_line(rest[0], 80)}` is not an option")
            + " A value with spaces must be quoted: -o ProxyCommand='ssh -W %h:%p jump'"
        )
    config, kept = None, []
    for option, value in options:
        if option == "-F":
            config = None if value == OUR_CONFIG else value
        elif option[1] in KEPT_OPTIONS:
            kept += [option, value] if f"{option[1]}:" in ALL_OPTIONS else [option]
    if config == os.devnull:  # OpenSSH includes no device
        config = "none"
    if config not in (None, "none") and not (project / Path(config).expanduser()).exists():
        raise HerdError(_not_followed(node, f"`-F {one_line(config, 80)}` does not name a file"))
    return kept, config


def _not_followed(node: Node, why: str) -> str:
    return (
        f"Connecting to {node.name}: in the SSH arguments from the inventory and ansible.cfg "
        f"(`ansible_ssh_common_args` and the like), {why}."
    )


def destination(jump: str) -> tuple[str, ...]:
    """A jump host, written as `[ssh://][user@]host[:port]`, as words of a command line."""
    user, at, place = jump.removeprefix("ssh://").removesuffix("/").rpartition("@")
    host, _, rest = place[1:].partition("]") if place.startswith("[") else _parted(place)
    port = rest.removeprefix(":")
    return (*(("-p", port) if port else ()), f"{user}{at}{host}")


def _parted(place: str) -> tuple[str, str, str]:
    return place.partition(":") if place.count(":") == 1 else (place, "", "")
