"""Whether a node reaches the others: who answers at their addresses."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from experiments.doctor.probe.place import Place

PEER_S = 5.0
ITSELF = "it is also an address of this node"
KEY = "ssh-ed25519"
"""Each node's SSH server has one of these, as each system's installation makes it."""


def peers(place: Place, others: list[dict[str, Any]], own: list[str]) -> dict[str, Any]:
    """Why nodes are not reached, the host keys that answered, and this node's own.

    A greeting is waited for, but of those whose address in the nodes' network is another than the
    one at which the controller checked their host key: these show it to ssh-keyscan, where that is
    installed. Keys of all would cost each node's SSH server much more than greetings.

    Args:
        place: the node.
        others: the other nodes: name, address, SSH port, and whether the address is `apart`.
        own: this node's addresses; who seems to be there is this node itself.
    """
    away = [one for one in others if one["address"] not in own]
    keys = shown_keys(place, [one for one in away if one.get("apart")])
    silent = [one for one in away if one["name"] not in keys]
    with ThreadPoolExecutor(max_workers=max(1, len(silent))) as pool:
        told = dict(zip([one["name"] for one in silent], pool.map(greeting, silent)))
    told.update({one["name"]: ITSELF for one in others if one not in away})
    return {
        "peers": {one["name"]: told.get(one["name"]) for one in others},
        "peer_keys": keys,
        "host_keys": host_keys(place),
    }


def shown_keys(place: Place, others: list[dict[str, Any]]) -> dict[str, str]:
    """Node to the host key of the machine that answers at its address."""
    found: dict[str, str] = {}
    for port in sorted({one["port"] for one in others}):
        there = [one for one in others if one["port"] == port]
        addresses = [one["address"] for one in there]
        said = place.ask(
            "ssh-keyscan", "-T", f"{PEER_S:.0f}", "-t", "ed25519", "-p", str(port), *addresses
        )
        keys = dict(re.findall(rf"^\[?([^\]\s]+)\]?\S* ({KEY} \S+)", said.out, re.MULTILINE))
        found.update({one["name"]: keys[one["address"]] for one in there if one["address"] in keys})
    return found


def host_keys(place: Place) -> list[str]:
    """The keys by which this node's SSH server shows that it is the one, as its settings say."""
    settings = place.found("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf")
    named = [
        path
        for name in settings
        for path in re.findall(r"(?im)^\s*HostKey\s+(\S+)", place.text(name))
    ]
    paths = named or place.found("/etc/ssh/ssh_host_*_key")
    keys = (place.text(f"{path}.pub").split()[:2] for path in dict.fromkeys(paths))
    return [" ".join(key) for key in keys if key[:1] == [KEY]]


def greeting(peer: dict[str, Any]) -> str | None:
    """Why a node's SSH server cannot be reached; None if it greets.

    An SSH server speaks first (RFC 4253, 4.2), so that nothing has to be said to it.
    """
    try:
        with socket.create_connection((peer["address"], peer["port"]), PEER_S) as connection:
            connection.settimeout(PEER_S)
            said = connection.recv(64)
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None if said.startswith(b"SSH-") else "something other than an SSH server answers"
