"""Nodes that are the same machine, or copies of one: cards that were cloned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.doctor.facts import Facts
from experiments.doctor.finding import Finding, NodeAnswer, problem, warning
from experiments.fleet import commands

SUBJECT = "machine"
NEW_NUMBER = (
    "rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup && systemctl reboot"
)
NEW_KEYS = (
    "rm -f /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh && "
    "cat /etc/ssh/ssh_host_ed25519_key.pub"
)


def check(answer: NodeAnswer, facts: Facts, others: Sequence[NodeAnswer]) -> Iterator[Finding]:
    """Find identities shared with other nodes that should be unique."""
    told = [(other, other.facts) for other in others if other.facts is not None]
    base = facts.base
    copies = [
        (other.node, its)
        for other, its in told
        if base.machine_id and its.base.machine_id == base.machine_id
    ]
    same = [name for name, its in copies if base.boot_id and its.base.boot_id == base.boot_id]
    cloned = [name for name, _ in copies if name not in same]
    if same:
        yield problem(
            SUBJECT,
            f"It is the same machine as {', '.join(same)} under another name or address.",
            "Remove one of them from group cluster.",
        )
    if cloned:
        yield warning(
            SUBJECT,
            f"It has the machine-id of {', '.join(cloned)}, as on cloned cards: routers may "
            "give both the same address.",
            commands.on_node(answer.node, NEW_NUMBER),
        )
    keys = set(facts.network.host_keys)
    sharing = [other.node for other, its in told if keys & set(its.network.host_keys)]
    if sharing and not same:
        yield warning(
            SUBJECT,
            f"It has the SSH host key of {', '.join(sharing)}, as on cloned cards: the machines "
            "cannot be distinguished.",
            "Create new ones, and replace the old key in known_hosts with the one that this "
            f"prints: {commands.on_node(answer.node, NEW_KEYS)}",
        )
