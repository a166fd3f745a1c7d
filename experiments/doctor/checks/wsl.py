"""Linux inside Windows: whose driver it has, and whether other nodes can reach it.

Rules from Microsoft's pages on WSL networking and NVIDIA's CUDA on WSL user guide.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from experiments.doctor.checks.ports import ENGINE_PORTS, is_engine_port
from experiments.doctor.facts import Facts, Wsl
from experiments.doctor.finding import Finding, NodeAnswer, ok, problem, warning
from experiments.fleet import commands

SUBJECT = "wsl"
LOCAL = ("127.0.0.1", "localhost", "::1")
RULE = "llama-herd engines of the guest"
"""As role wsl_host names it; the probe looks for it."""
CREATOR = "{40E0AC32-46A5-438A-A0B2-2B479E8F2E90}"
"""WSL's own number among the makers of virtual machines."""


def check(answer: NodeAnswer, facts: Facts, others: Sequence[NodeAnswer]) -> Iterator[Finding]:
    """Nothing at all outside WSL."""
    if facts.wsl is None:
        return
    mode = facts.wsl.networking or _guess(answer, facts)
    yield ok(
        SUBJECT,
        f"WSL {facts.wsl.version or 'of unknown version'}, networking {mode}"
        f"{'' if facts.wsl.networking else ' (as its addresses suggest)'}."
        f"{_whose_driver(facts.wsl)}",
    )
    yield from _driver(answer, facts, facts.wsl)
    if mode != "mirrored" and answer.is_root:
        yield _hidden_root(facts.wsl, mode)
    elif mode != "mirrored":
        yield _hidden(facts, facts.wsl, mode, mirrored(answer, others))
    else:
        yield _guarded(answer, facts.wsl, others)


def _guess(answer: NodeAnswer, facts: Facts) -> str:
    """With mirrored networking the guest has Windows' own addresses."""
    return "mirrored" if answer.engine_address in facts.network.addresses else "nat"


def _whose_driver(wsl: Wsl) -> str:
    is_windows = wsl.windows_libcuda and not wsl.linux_libcuda
    return " NVIDIA's driver is that of Windows." if is_windows else ""


def _driver(answer: NodeAnswer, facts: Facts, wsl: Wsl) -> Iterator[Finding]:
    packages = facts.gpu.driver_packages
    if packages or wsl.linux_libcuda:
        what = ", ".join(packages or wsl.linux_libcuda)
        yield problem(
            SUBJECT,
            f"A Linux driver is installed inside WSL ({what}): it hides the one that Windows "
            "provides in /usr/lib/wsl/lib, and CUDA fails.",
            "Inside WSL, install only cuda-toolkit-<x>-<y>. Remove the driver, then run wsl "
            "--shutdown in PowerShell: "
            + (
                commands.on_node(
                    answer.node,
                    f"{commands.ASKS_NOTHING}; apt-get purge -y -- {shlex.join(packages)}",
                )
                if packages
                else "sudo nvidia-uninstall on the node (for a .run file)"
            ),
        )


def _hidden_root(wsl: Wsl, mode: str) -> Finding:
    """The root connects to the others and accepts only local connections, for the API."""
    forwards = [forward for forward in wsl.forwards or () if is_engine_port(forward.port)]
    ports = ", ".join(str(forward.port) for forward in forwards)
    return ok(
        SUBJECT,
        f"WSL's networking is {mode}: other nodes reach "
        f"{f'only the ports that Windows forwards ({ports})' if ports else 'no engine here'}. "
        "That is enough for the root, which connects to the others; only Petals needs more.",
    )


def _guarded(answer: NodeAnswer, wsl: Wsl, others: Sequence[NodeAnswer]) -> Finding:
    """Two firewalls of Windows protect a mirrored guest: its own, and Hyper-V's."""
    if answer.is_root or wsl.engine_rule:
        how = "has a rule for engines" if wsl.engine_rule else "does not affect a root"
        return ok(SUBJECT, f"Windows' firewall {how}; that of mirrored guests was not checked.")
    if wsl.engine_rule is None:
        return ok(
            SUBJECT,
            "Windows' firewall and that of mirrored guests (Hyper-V) were not checked for rules "
            "that let engines in; see docs/pcs.md.",
        )
    return warning(
        SUBJECT,
        "Windows' firewall has no llama-herd rule for engines: it and that of mirrored guests "
        "(Hyper-V) block incoming connections.",
        f"In PowerShell as administrator: {powershell_to_let_in(answer, others)}",
    )


def powershell_to_let_in(answer: NodeAnswer, others: Sequence[NodeAnswer]) -> str:
    """Opens both firewalls of Windows, in PowerShell as administrator, for SSH and engines."""
    ports = [str(answer.port), *(f"{ports[0]}-{ports[-1]}" for ports in ENGINE_PORTS)]
    sources = ["LocalSubnet", *(other.engine_address for other in others)]
    return (
        f"$n = '{RULE}'; $p = {_array(ports)}; $a = {_array(sources)}; "
        "New-NetFirewallRule -DisplayName $n -Direction Inbound -Protocol TCP -LocalPort $p "
        "-RemoteAddress $a; New-NetFirewallHyperVRule -Name $n -DisplayName $n -Direction Inbound "
        f"-VMCreatorId '{CREATOR}' -Protocol TCP -LocalPorts $p -RemoteAddresses $a"
    )


def _array(values: Sequence[str]) -> str:
    return ",".join(f"'{value}'" for value in values)


def mirrored(answer: NodeAnswer, others: Sequence[NodeAnswer]) -> str:
    """What shows the guest to other nodes."""
    return (
        "With Windows 11 22H2 or newer: networkingMode=mirrored below [wsl2] in "
        "%UserProfile%\\.wslconfig, then wsl --shutdown; else let Windows forward engines' "
        "ports (netsh interface portproxy) and set `herd_forwarded_from`. Open both firewalls "
        f"of Windows, in PowerShell as administrator: {powershell_to_let_in(answer, others)}"
    )


def _hidden(facts: Facts, wsl: Wsl, mode: str, remedy: str) -> Finding:
    """Find what Windows' address translation does to engines that others must reach."""
    forwards = [forward for forward in wsl.forwards or () if is_engine_port(forward.port)]
    ports = ", ".join(str(forward.port) for forward in forwards)
    there = {*facts.network.addresses, *LOCAL}
    if not forwards:
        unsure = (
            " (Windows could not be queried for its port proxies)" if wsl.forwards is None else ""
        )
        return problem(
            SUBJECT,
            f"WSL's networking is {mode}: it hides this node, and no engine port is forwarded to "
            f"it{unsure}.",
            remedy,
        )
    if any(forward.to_address not in there for forward in forwards):
        return problem(
            SUBJECT,
            f"WSL's networking is {mode}, and Windows forwards {ports} to an address that WSL no "
            "longer has.",
            remedy,
        )
    return warning(
        SUBJECT,
        f"WSL's networking is {mode}: other nodes reach only the ports that Windows forwards "
        f"({ports}), until WSL starts with another address.",
        remedy,
    )
