"""Filter that says what of a node would spoil measurements, and what helps."""

from __future__ import annotations

from typing import Any

FULL_SPEED_MBIT = 1000
# What systemd-detect-virt calls containers: their clock is their machine's. WSL's is Windows'.
CONTAINERS = (
    *("docker", "podman", "lxc", "lxc-libvirt", "systemd-nspawn", "openvz", "rkt", "proot"),
    *("pouch", "container-other", "wsl"),
)


def of_link(facts: dict[str, Any]) -> str | None:
    """What is wrong with the link that engines use."""
    nic, link_mbit = facts.get("nic"), facts.get("link_mbit")
    if facts.get("virtualisation") == "wsl" and facts.get("wireless") is None:
        return (
            f"{nic} is provided by Windows: whether Windows itself is connected by cable or by "
            "Wi-Fi, and how fast, cannot be seen from inside WSL. Look there, in PowerShell: "
            "Get-NetAdapter -Physical"
        )
    if facts.get("wireless"):
        speed = f", {link_mbit} Mbit/s" if link_mbit else ""
        return (
            f"engines talk over {nic}, which is wireless{speed}: its delays are in every token. "
            "Connect the node by Ethernet and give that address as herd_cluster_address."
        )
    if link_mbit and link_mbit < FULL_SPEED_MBIT:
        return (
            f"the link of {nic} runs at {link_mbit} Mbit/s, not {FULL_SPEED_MBIT}. Look at cable, "
            "plug and switch (a Raspberry Pi 3 or older has no faster link)."
        )
    return None


def of_address(facts: dict[str, Any], *, is_reserved: bool) -> str | None:
    """Whether the address may change."""
    if is_reserved or not facts.get("address_leased"):
        return None
    return (
        f"its address on {facts.get('nic')} comes by DHCP: if it changes, inventory and firewall "
        "are wrong. Reserve it in the router, then set node_facts_address_reserved: true in the "
        "inventory."
    )


def of_clock(facts: dict[str, Any]) -> str | None:
    """Return whether nothing keeps the clock synchronised."""
    if facts.get("virtualisation") in CONTAINERS or facts.get("clock_synchronised") is not False:
        return None
    service = facts.get("clock_service")
    if service is None:
        return (
            "its clock is not synchronised and no time service runs: it may jump during a trial, "
            "which makes the trial invalid. Start the service that is installed, or install chrony."
        )
    return (
        f"its clock is not synchronised yet by {service}: it may jump during a trial, which makes "
        "the trial invalid. Wait a minute; if that does not help, look whether the node reaches a "
        "time server (UDP port 123)."
    )


def node_warnings(facts: dict[str, Any], *, address_reserved: bool = False) -> list[str]:
    """What of a node would spoil measurements, a sentence or two each with the remedy.

    Args:
        facts: the node's report (node-facts).
        address_reserved: whether the router keeps the node's address for it.
    """
    found = (
        of_link(facts),
        of_address(facts, is_reserved=address_reserved),
        of_clock(facts),
    )
    return [warning for warning in found if warning]


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"node_warnings": node_warnings}
