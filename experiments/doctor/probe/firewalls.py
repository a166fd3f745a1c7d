"""Firewalls beside llama-herd's own table, as far as an ordinary user may see them."""

from __future__ import annotations

import os
import re
from typing import Any

from experiments.doctor.probe.place import Place

UNITS = ("firewalld", "nftables", "netfilter-persistent", "iptables", "shorewall", "ferm", "docker")
OURS = "llama_herd"
ENGINE_PORT = re.compile(r"\b(9990|50052)\b")
"""First ports of engines: who lets them in names one of them."""
KEEPS_OUT = re.compile(r"\b(drop|reject)\b", re.IGNORECASE)


def firewalls(place: Place) -> list[dict[str, Any]]:
    """Each that is on: its kind, whether it lets engines in (None: cannot be told), its chain."""
    told = place.ask("systemctl", "is-active", *UNITS).out.split()
    active = {name for name, state in zip(UNITS, told) if state == "active"}
    found = [
        ufw(place),
        *([here("firewalld")] if "firewalld" in active else []),
        *([by_nft(place.text("/etc/nftables.conf"), "nftables")] if "nftables" in active else []),
        *([by_iptables(place)] if active & {"netfilter-persistent", "iptables"} else []),
        *(here(name) for name in ("shorewall", "ferm") if name in active),
        *([here("docker", lets_in=True)] if "docker" in active else []),
    ]
    named = [one for one in found if one is not None]
    return named or [one for one in [loaded(place)] if one is not None]


def here(kind: str, *, lets_in: bool | None = None, chain: str | None = None) -> dict[str, Any]:
    """A firewall that is on."""
    return {"kind": kind, "lets_in": lets_in, "chain": chain}


def ufw(place: Place) -> dict[str, Any] | None:
    """Its rules are root's; what it does by itself is not."""
    if not re.search(r"^ENABLED=yes", place.text("/etc/ufw/ufw.conf"), re.MULTILINE):
        return None
    accepts = re.search(
        r'^DEFAULT_INPUT_POLICY="?ACCEPT', place.text("/etc/default/ufw"), re.MULTILINE
    )
    rules = place.text("/etc/ufw/user.rules")
    lets_in = True if accepts or ENGINE_PORT.search(rules) else False if rules else None
    return here("ufw", lets_in=lets_in)


def by_nft(rules: str, kind: str) -> dict[str, Any] | None:
    """What rules in nft's language do with what comes in; None where they keep nothing out."""
    for family, name, body in tables(rules):
        chain = re.search(r"chain\s+(\S+)\s*{[^{}]*\bhook\s+input\b", body)
        if chain and name != OURS and KEEPS_OUT.search(body):
            lets_in = ENGINE_PORT.search(body) is not None
            return here(kind, lets_in=lets_in, chain=f"{family} {name} {chain[1]}")
    return None


def tables(rules: str) -> list[tuple[str, str, str]]:
    """Family, name and text of each table."""
    plain = re.sub(r"#.*", "", rules)
    begun = list(re.finditer(r"^\s*table\s+(?:(\w+)\s+)?(\w+)\s*{", plain, re.MULTILINE))
    ends = [*(one.start() for one in begun[1:]), len(plain)]
    return [(one[1] or "ip", one[2], plain[one.end() : end]) for one, end in zip(begun, ends)]


def by_iptables(place: Place) -> dict[str, Any] | None:
    """Rules that are loaded at boot, as Oracle's images have them."""
    path = "/etc/iptables/rules.v4"
    rules = place.text(path)
    if not rules:
        return here("iptables") if place.exists(path) else None
    inward = [line for line in rules.splitlines() if line.startswith(("-A INPUT", ":INPUT"))]
    if not any(KEEPS_OUT.search(line) for line in inward):
        return None
    return here("iptables", lets_in=any(ENGINE_PORT.search(line) for line in inward))


def loaded(place: Place) -> dict[str, Any] | None:
    """What the kernel has, which only root may read."""
    if os.geteuid() != 0:
        return None
    return by_nft(place.ask("nft", "list", "ruleset").out, "rules")
