"""Firewalls that keep engines of other nodes out, and what lets them in by each kind."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from experiments.doctor.checks.ports import ENGINE_PORTS
from experiments.doctor.facts import Facts, Firewall
from experiments.doctor.finding import Finding, NodeAnswer, ok, warning
from experiments.fleet import commands

SUBJECT = "ports"
RANGES = [(ports[0], ports[-1]) for ports in ENGINE_PORTS]
DASHED = [f"{first}-{last}" for first, last in RANGES]
COLONS = ",".join(f"{first}:{last}" for first, last in RANGES)
NFT_CONF = "/etc/nftables.conf"
CHAIN = re.compile(r"(ip|inet) [\w.-]+ [\w.-]+", re.ASCII)
NAMES = {
    "nftables": f"The firewall of nftables.service ({NFT_CONF})",
    "iptables": "The firewall of iptables (rules that are loaded at boot)",
    "rules": "A firewall with loaded rules (nft list ruleset)",
}


def check(answer: NodeAnswer, facts: Facts, others: Sequence[NodeAnswer]) -> Iterator[Finding]:
    """A finding for each, in the order of the facts."""
    network = facts.network
    old = (Firewall(kind="ufw"),) if network.ufw and not network.firewalls else ()
    sources = [other.engine_address for other in others if other.engine_address]
    for firewall in (*old, *network.firewalls):
        yield _found(answer, firewall, sources)


def _found(answer: NodeAnswer, firewall: Firewall, sources: Sequence[str]) -> Finding:
    name = NAMES.get(firewall.kind, f"The firewall {firewall.kind}")
    if firewall.kind == "docker":
        return ok(
            SUBJECT,
            "Docker's rules (DOCKER-USER) apply to traffic forwarded to containers, not to "
            "engines.",
        )
    if firewall.lets_in:
        return ok(SUBJECT, f"{name} is on and mentions the engines' ports.")
    drops = "it drops all other traffic"
    if firewall.lets_in is False:
        drops += ", and its rules mention no engine's port"
    elif firewall.kind == "ufw":
        drops += "; only root can read whether that includes the engines' ports"
    else:
        drops = f"only root can read its rules; usually {drops}, including the engines' ports"
    return warning(SUBJECT, f"{name} is on: {drops}.", _remedy(answer, firewall, sources))


def _remedy(answer: NodeAnswer, firewall: Firewall, sources: Sequence[str]) -> str:
    if not sources:
        return "Run it again without --limit: the remedy then includes the other nodes' addresses."
    command = command_to_let_in(firewall, sources)
    if command is None:
        return (
            f"Allow TCP ports {' and '.join(DASHED)} from {', '.join(sources)} with that "
            "firewall's own tools."
        )
    passes = " (until the next boot; add it to the source of these rules, too)"
    return commands.on_node(answer.node, command) + passes * (firewall.kind == "rules")


def command_to_let_in(firewall: Firewall, sources: Sequence[str]) -> str | None:
    """A command for root that lets engines in from these addresses.

    Now and after each boot; rules of unknown origin only now, because nothing would restore them.
    """
    each = " ".join(sources)
    nft = f"ip saddr {{ {', '.join(sources)} }} tcp dport {{ {', '.join(DASHED)} }} accept"
    if firewall.kind == "ufw":
        return f"for a in {each}; do ufw allow proto tcp from $a to any port {COLONS}; done"
    if firewall.kind == "firewalld":
        rule = "rule family=ipv4 source address=$a port port=$p protocol=tcp accept"
        return (
            f"for a in {each}; do for p in {' '.join(DASHED)}; do firewall-cmd --permanent "
            f'--add-rich-rule="{rule}"; done; done; firewall-cmd --reload'
        )
    if firewall.kind == "iptables":
        return (
            f"iptables -I INPUT -p tcp -s {','.join(sources)} -m multiport --dports {COLONS} "
            "-j ACCEPT && iptables-save >/etc/iptables/rules.v4"
        )
    if firewall.kind == "nftables":
        # What nft cannot read must not stay: with it there would be no firewall after a boot.
        new = f"{NFT_CONF}.new"
        return (
            f"sed '/^ *#/!s/hook input[^;]*;/&\\n{nft}\\n/' {NFT_CONF} >{new} && "
            f"nft -c -f {new} && "
            f"cat {new} >{NFT_CONF} && rm {new} && systemctl reload nftables"
        )
    if firewall.kind == "rules" and firewall.chain and CHAIN.fullmatch(firewall.chain):
        return f"nft {shlex.quote(f'insert rule {firewall.chain} {nft}')}"
    return None
