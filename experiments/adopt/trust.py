"""Which machines may go on, by their host keys, and what is to be said of the others."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from experiments.adopt.fleet import Fleet
from experiments.adopt.keys import HostKey, State, has_key, known_hosts_of
from experiments.adopt.machine import Machine, again_with
from experiments.adopt.screen import Talk
from experiments.fleet import commands

COPIED = (
    "If these are two machines, one was copied from the other and needs its own keys. On the "
    "copy: sudo sh -c 'rm /etc/ssh/ssh_host_*_key* && ssh-keygen -A && systemctl restart ssh'"
)


def sound(
    fleet: Fleet,
    machines: Sequence[Machine],
    found: Sequence[HostKey],
    trusted: Sequence[str],
    key: str | None,
    talk: Talk,
) -> list[tuple[Machine, HostKey]]:
    """Return the machines that can continue, with their keys; the others get a reason.

    Args:
        fleet: the inventory.
        machines: all that were named.
        found: their keys, in the same order.
        trusted: fingerprints that were given; empty where a person will be asked.
        key: private key that was given, for commands.
        talk: the person.
    """
    going: list[tuple[Machine, HostKey]] = []
    for one, host in zip(machines, found, strict=True):
        why = _against(fleet, one, host, going, key)
        if not why and host.state is State.NEW and trusted and host.fingerprint not in trusted:
            why = f"its host key is {host.told}, but that fingerprint was not given."
        if why:
            talk.say(f"{one.asked.word}: {why}")
        else:
            going.append((one, host))
    keys = {host.fingerprint for host in found if host.state is State.NEW}
    for fingerprint in trusted:
        if keys and fingerprint not in keys:
            talk.say(f"--fingerprint {fingerprint}: no new machine has this key.")
    return going


def _against(
    fleet: Fleet,
    one: Machine,
    host: HostKey,
    before: Sequence[tuple[Machine, HostKey]],
    own_key: str | None,
) -> str:
    """What is wrong with a machine's key; empty where nothing is."""
    path = known_hosts_of(one.node, fleet.project)
    if host.state is State.SILENT:
        return f"it presents no host key. {host.why}"
    if host.state is State.CHANGED:
        name = commands.below(path, fleet.project)
        forget = shlex.join(("ssh-keygen", "-R", host.name, "-f", name))
        return (
            f"REFUSED. Its host key is not the one in line {host.line} of {name}: either the "
            "machine was reinstalled, or another host is answering at this address. If you "
            f"know why it changed: {forget} && {again_with([one.asked.word], own_key)}"
        )
    if host.state is State.KNOWN:
        return ""
    for other, key in before:
        if key.blob == host.blob:
            return f"it has the same host key as {other.asked.word}. {COPIED}"
    for node in fleet.nodes:
        if node != one.node and has_key(path, node, host.blob):
            return (
                f"it has the host key of {node.name}, which the inventory lists at "
                f"{node.address}. If that machine's address changed, set ansible_host: "
                f"{one.node.address} for {node.name} in {fleet.given}, then adopt it again. "
                f"{COPIED}"
            )
    return ""
