"""Firewalls other than llama-herd's own table: their rules where this account may read them.

Those of most are root's. They are read as root where sudo asks for no password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from experiments.doctor.probe.place import Place, ProgramResult

UNITS = ("firewalld", "nftables", "netfilter-persistent", "iptables", "shorewall", "ferm", "docker")
OURS = "llama_herd"
ENGINE_PORT = re.compile(r"\b(9990|50052)\b")
"""First ports of engines: who lets them in names one of them."""
INCLUDED = re.compile(r'^\s*include\s+"(/[^"]+)"', re.MULTILINE)
KEEPS_ALL_OUT = re.compile(
    r"policy drop|(?:^|[;{])\s*(?:counter(?: packets \d+ bytes \d+)?\s+)?(?:drop|reject)\b",
    re.MULTILINE,
)
"""In nft's language: what no rule before it let in, without a condition."""
CALLS = re.compile(r"\b(?:jump|goto) (\S+)")
"""A chain that another one jumps to."""
IPTABLES_OUT = re.compile(
    r"^:INPUT DROP|^-A INPUT(?: -[ip] \S+)* -j (?:DROP|REJECT)\b", re.MULTILINE
)


AsRoot = Callable[..., ProgramResult]
"""Runs a program that only reads, as root."""


def firewalls(place: Place, as_root: AsRoot | None = None) -> list[dict[str, Any]]:
    """Each that is on: its kind, whether it lets engines in (None: unknown), its chain."""
    told = place.ask("systemctl", "is-active", *UNITS).out.split()
    active = {name for name, state in zip(UNITS, told) if state == "active"}
    found = [
        ufw(place, as_root),
        *([firewalld(as_root)] if "firewalld" in active else []),
        *([by_nftables_conf(place)] if "nftables" in active else []),
        *([by_iptables(place, as_root)] if active & {"netfilter-persistent", "iptables"} else []),
        *(here(name) for name in ("shorewall", "ferm") if name in active),
    ]
    docker = here("docker", lets_in=True) if "docker" in active else None
    named = found if any(found) else [loaded_rules(as_root)]
    return [one for one in (*named, docker) if one is not None]


def here(kind: str, *, lets_in: bool | None = None, chain: str | None = None) -> dict[str, Any]:
    """A firewall that is on."""
    return {"kind": kind, "lets_in": lets_in, "chain": chain}


def rules_in(place: Place, path: str, as_root: AsRoot | None) -> str:
    """A file of rules; empty where there is none, or it is root's and root cannot be asked."""
    text = place.text(path)
    if text or as_root is None or not place.exists(path):
        return text
    return as_root("cat", path).out


def ufw(place: Place, as_root: AsRoot | None) -> dict[str, Any] | None:
    """Its rules are root's; what it does by itself is not."""
    if not re.search(r"^ENABLED=yes", place.text("/etc/ufw/ufw.conf"), re.MULTILINE):
        return None
    accepts = re.search(
        r'^DEFAULT_INPUT_POLICY="?ACCEPT', place.text("/etc/default/ufw"), re.MULTILINE
    )
    rules = rules_in(place, "/etc/ufw/user.rules", as_root)
    lets_in = True if accepts or ENGINE_PORT.search(rules) else False if rules else None
    return here("ufw", lets_in=lets_in)


def firewalld(as_root: AsRoot | None) -> dict[str, Any]:
    """Only root can read its zones."""
    zones = as_root("firewall-cmd", "--list-all-zones").out if as_root else ""
    return here("firewalld", lets_in=ENGINE_PORT.search(zones) is not None if zones else None)


def by_nftables_conf(place: Place) -> dict[str, Any] | None:
    """The service's own file; rules of files that it includes are not in it to be changed."""
    conf = place.text("/etc/nftables.conf")
    included = [place.text(path) for path in place.found(*INCLUDED.findall(conf))]
    return by_nft(conf, "nftables") or by_nft("\n".join(included), "rules")


def by_nft(rules: str, kind: str) -> dict[str, Any] | None:
    """What rules in nft's language do with what comes in; None where they keep not all out.

    Drops with a condition (fail2ban's and Tailscale's addresses, invalid packets) concern no
    engine, nor do those of other ways (forward) and of IPv6 alone.
    """
    for family, name, body in tables(rules):
        chains = dict(re.findall(r"chain\s+(\S+)\s*{((?:[^{}]|{[^{}]*})*)}", body))
        for chain, text in chains.items():
            is_inward = re.search(r"\bhook\s+input\b", text) and family in ("ip", "inet")
            if is_inward and name != OURS and keeps_all_out(chain, chains, set()):
                lets_in = ENGINE_PORT.search(body) is not None
                return here(kind, lets_in=lets_in, chain=f"{family} {name} {chain}")
    return None


def keeps_all_out(chain: str, chains: dict[str, str], seen: set[str]) -> bool:
    """Return whether a chain, or one that it jumps to, lets in only listed traffic."""
    text = chains.get(chain, "")
    if chain in seen or KEEPS_ALL_OUT.search(text):
        return chain not in seen
    seen.add(chain)
    return any(keeps_all_out(name.rstrip(";"), chains, seen) for name in CALLS.findall(text))


def tables(rules: str) -> list[tuple[str, str, str]]:
    """Family, name and text of each table."""
    plain = re.sub(r"#.*", "", rules)
    begun = list(re.finditer(r"^\s*table\s+(?:(\w+)\s+)?(\w+)\s*{", plain, re.MULTILINE))
    ends = [*(one.start() for one in begun[1:]), len(plain)]
    return [(one[1] or "ip", one[2], plain[one.end() : end]) for one, end in zip(begun, ends)]


def by_iptables(place: Place, as_root: AsRoot | None) -> dict[str, Any] | None:
    """Rules that are loaded at boot, as Oracle's images have them."""
    path = "/etc/iptables/rules.v4"
    rules = rules_in(place, path, as_root)
    if not rules:
        return here("iptables") if place.exists(path) else None
    if not IPTABLES_OUT.search(rules):
        return None
    return here("iptables", lets_in=ENGINE_PORT.search(rules) is not None)


def loaded_rules(as_root: AsRoot | None) -> dict[str, Any] | None:
    """What the kernel has, which only root may read."""
    return by_nft(as_root("nft", "list", "ruleset").out, "rules") if as_root else None
