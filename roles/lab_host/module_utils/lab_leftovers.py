"""What Podman leaves behind: firewall chains, mounts, and after an accident more than that."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

from ansible.module_utils.lab_podman import LabError, run, succeeds

FILTERS = ("iptables", "ip6tables")
TABLES = ("filter", "nat", "mangle")
UNMOUNT_S = 10
STORAGE = "/var/lib/containers/storage/overlay"
NAMESPACES = "/run/netns"


def remove_dead_bridge(gateway: str) -> bool:
    """Remove a bridge that has the lab's address although no node is plugged into it."""
    said = json.loads(
        run("ip", "-json", "address", "show", "type", "bridge", doing="listing bridges") or "[]"
    )
    dead = [
        bridge["ifname"]
        for bridge in said
        if any(address["local"] == gateway for address in bridge.get("addr_info", []))
        and not any(Path(f"/sys/class/net/{bridge['ifname']}/brif").iterdir())
    ]
    for name in dead:
        run("ip", "link", "delete", name, doing="removing the lab's dead bridge")
    return bool(dead)


def remove_firewall_chains() -> bool:
    """Remove netavark's chains, the jumps to them and tables that then hold nothing."""
    changed = False
    for program in FILTERS:
        for table in TABLES:
            changed |= _remove_chains(program, table)
    return _remove_needless_tables() or changed


def _remove_chains(program: str, table: str) -> bool:
    if not succeeds(program, "--wait", "--table", table, "--list-rules"):
        return False
    rules = run(program, "--wait", "--table", table, "--list-rules", doing="listing firewall rules")
    lines = [shlex.split(line) for line in rules.splitlines()]
    chains = [words[1] for words in lines if words[0] == "-N" and words[1].startswith("NETAVARK")]
    for words in lines:
        if words[0] == "-A" and words[1] not in chains and words[-1] in chains:
            _edit(program, table, "--delete", *words[1:])
    for chain in chains:
        _edit(program, table, "--flush", chain)
    for chain in chains:
        _edit(program, table, "--delete-chain", chain)
    return bool(chains)


def _edit(program: str, table: str, *words: str) -> None:
    run(program, "--wait", "--table", table, *words, doing="removing the lab's firewall rules")


def _remove_needless_tables() -> bool:
    """Tables of the iptables family that accept everything and hold no rule do nothing."""
    if not succeeds("nft", "list", "tables"):
        return False
    listed = json.loads(run("nft", "--json", "list", "ruleset", doing="listing firewall tables"))
    items = listed["nftables"]
    tables = {(item["table"]["family"], item["table"]["name"]) for item in items if "table" in item}
    used = {(item["rule"]["family"], item["rule"]["table"]) for item in items if "rule" in item}
    used |= {
        (chain["family"], chain["table"])
        for chain in (item["chain"] for item in items if "chain" in item)
        if chain.get("policy", "drop") != "accept"
    }
    needless = {
        (family, name)
        for family, name in tables - used
        if family in {"ip", "ip6"} and name in TABLES
    }
    # Newer Podman has a table of its own instead of chains among those of others.
    needless |= tables & {("inet", "netavark")}
    for family, name in needless:
        run("nft", "delete", "table", family, name, doing="removing a firewall table")
    return bool(needless)


def remove_mounts() -> bool:
    """Unmount what Podman keeps mounted for its storage and its network namespaces.

    To be called only when no container runs: then every namespace of Podman's is a left one.
    """
    for namespace in Path(NAMESPACES).glob("netns-*"):
        if succeeds("umount", str(namespace)):
            namespace.unlink()
    deadline = time.monotonic() + UNMOUNT_S
    stale = _stale_mounts()
    left = stale
    while left and time.monotonic() < deadline:
        for target in left:
            # A failure is no error in itself: Podman may be quicker, or still be busy there.
            if not succeeds("umount", target):
                time.sleep(0.2)
        left = _stale_mounts()
    if left:
        raise LabError(f"unmounting what Podman left: {', '.join(left)} is still in use")
    return bool(stale)


def _stale_mounts() -> list[str]:
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    namespaces = Path(NAMESPACES)
    wanted = (
        {STORAGE} if namespaces.is_dir() and any(namespaces.iterdir()) else {STORAGE, NAMESPACES}
    )
    return [target for target in mounted if target in wanted]
